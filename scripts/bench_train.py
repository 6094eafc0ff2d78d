"""Our SFT recipe beside TRL's trainer on all weights: the same model and data, in one run.

    python scripts/bench_train.py [--rows 160] [--steps 12] [--model bundled]

Both train on the same rows of seed tasks and validate on the same others, each in a process of
its own: TRL's defaults without gradient checkpointing (all weights, as the folder has them, padded
batches of 8), and ours (adapters, packed). So the ratio is not the gain of packing alone. The
table has non-padding tokens a second, peak memory, and the validation loss after as many steps:
nats per answer token of the saved models in float32.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def rows(count: int) -> tuple[list[Any], list[Any]]:
    """Return training and validation rows: shipped seed tasks and eval tasks."""
    from selfinstruct.evaluate.tasks import shipped_eval_tasks
    from selfinstruct.inputs.seeds import shipped_seeds
    from selfinstruct.train.data.rows import read_rows

    train = [*read_rows(shipped_seeds()).rows, *read_rows(shipped_eval_tasks()).rows]
    return train[:count], train[-40:]


def plain(model: str, count: int, steps: int, folder: Path) -> dict[str, float]:
    """Train by TRL's defaults."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from selfinstruct.models import resolve_model
    from selfinstruct.train.data.encode import encode_rows, prepare_tokenizer

    path = resolve_model(model, lambda *_: None).path
    tokenizer = AutoTokenizer.from_pretrained(path)
    prepare_tokenizer(tokenizer)
    encoded = encode_rows(rows(count)[0], tokenizer, max_length=1024, diverse=False, seed=0).rows
    train = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in encoded])
    config = SFTConfig(
        output_dir=str(folder),
        gradient_checkpointing=False,
        max_steps=steps,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        logging_steps=1,
    )
    network = AutoModelForCausalLM.from_pretrained(path)
    trainer = SFTTrainer(
        model=network,
        args=config,
        train_dataset=train,
        processing_class=tokenizer,
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    tokens = max(row.get("num_tokens", 0) for row in trainer.state.log_history)
    trainer.save_model(str(folder / "model"))
    tokenizer.save_pretrained(folder / "model")
    loss = validation_loss(folder / "model", rows(count)[1])
    return {"tokens": tokens, "seconds": seconds, "loss": loss}


def ours(model: str, count: int, steps: int, folder: Path) -> dict[str, float]:
    """Train by our recipe."""
    from selfinstruct.models import resolve_model
    from selfinstruct.train.data.rows import Split
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.sft import SFT, SftSettings
    from selfinstruct.train.runner import train as run_recipe

    train, held = rows(count)
    # Two packs of 512 tokens are about one padded batch of 8.
    options = {"max_steps": steps, "save_strategy": "no", "eval_strategy": "no"}
    options |= {"load_best_model_at_end": False, "logging_steps": 1}
    last: dict[str, float] = {}

    def listen(event: Any) -> None:
        if event.tokens:
            last.update(tokens=event.tokens, seconds=event.seconds)

    local = resolve_model(model, lambda *_: None)
    settings = SftSettings(options=options, diverse=False, patience=0)
    job = Job(Split(train, [], []), local, folder / "model", settings)
    run_recipe(SFT, job, listen)
    return {**last, "loss": validation_loss(folder / "model", held)}


def validation_loss(path: Path, held: list[Any]) -> float:
    """Return nats per answer token, rows one by one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selfinstruct.train.data.encode import encode_rows, prepare_tokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    prepare_tokenizer(tokenizer)
    network = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    total, count = 0.0, 0
    for row in encode_rows(held, tokenizer, max_length=1024, diverse=False, seed=0).rows:
        labels = torch.tensor([row.labels])
        with torch.inference_mode():
            loss = network(torch.tensor([row.input_ids]), labels=labels).loss
        learnt = int((labels[:, 1:] != -100).sum())
        total, count = total + float(loss) * learnt, count + learnt
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--only", choices=("plain", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        way = plain if options.only == "plain" else ours
        with tempfile.TemporaryDirectory() as folder:
            found = way(options.model, options.rows, options.steps, Path(folder))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({**found, "memory": peak}))
        return
    results = {}
    for way_name in ("plain", "ours"):
        arguments = [sys.executable, __file__, "--only", way_name, *sys.argv[1:]]
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        results[way_name] = json.loads(done.stdout.splitlines()[-1])
    table = Table(title=f"SFT of {options.model}")
    for name in ("", "TRL, all weights", "ours", "ratio"):
        table.add_column(name, justify="right")
    speeds = {name: row["tokens"] / row["seconds"] for name, row in results.items()}
    lines = {
        "tokens/s": (speeds["plain"], speeds["ours"]),
        "tokens": (results["plain"]["tokens"], results["ours"]["tokens"]),
        "peak memory, GB": (results["plain"]["memory"], results["ours"]["memory"]),
        "validation loss": (results["plain"]["loss"], results["ours"]["loss"]),
    }
    for name, (first, second) in lines.items():
        table.add_row(name, f"{first:,.3g}", f"{second:,.3g}", f"{second / first:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
