"""Our SFT recipe beside TRL's trainer: the same model, data and steps, in one run.

    python scripts/bench_train.py [--rows 160] [--steps 12] [--model bundled] [--arms trl,ours-lora]

Each arm trains on the same rows of shipped seed tasks, in a process of its own:

    trl         TRL's trainer with its defaults, given the model by its name: all weights, in
                float32, padded batches of 8, gradient checkpointing
    trl-lora    the same with adapters of our shape (r 16, all linear layers)
    ours-lora   our recipe with its defaults: adapters, packed
    ours-full   our recipe on all weights

A step of ours has about as many tokens as one of TRL's, not exactly: tokens are in the table. All
arms have the learning rate of our recipe for their kind. The table has non-padding tokens a second,
peak memory, and the validation loss after as many steps: nats per answer token of the saved models
in float32.
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

ARMS = ("trl", "trl-lora", "ours-lora", "ours-full")
# Ratios are given to this one: the recipe that a user of TRL would compare ours with.
BASELINE = "trl-lora"
RATES = {"lora": 2e-4, "full": 2e-5}


def rows(count: int) -> tuple[list[Any], list[Any]]:
    """Return training and validation rows: shipped seed tasks and eval tasks."""
    from selfinstruct.evaluate.tasks import shipped_eval_tasks
    from selfinstruct.inputs.seeds import shipped_seeds
    from selfinstruct.train.data.rows import read_rows

    train = [*read_rows(shipped_seeds()).rows, *read_rows(shipped_eval_tasks()).rows]
    return train[: min(count, len(train) - 40)], train[-40:]


def trl(model: str, count: int, steps: int, folder: Path, *, lora: bool) -> dict[str, float]:
    """Train by TRL's defaults; on a CPU, since ours does."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from selfinstruct.models import resolve_model
    from selfinstruct.train.adapter import lora_config
    from selfinstruct.train.data.encode import encode_rows, prepare_tokenizer

    path = resolve_model(model, lambda *_: None).path
    tokenizer = AutoTokenizer.from_pretrained(path)
    prepare_tokenizer(tokenizer)
    encoded = encode_rows(rows(count)[0], tokenizer, max_length=1024, diverse=False, seed=0).rows
    train = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in encoded])
    config = SFTConfig(
        output_dir=str(folder),
        max_steps=steps,
        learning_rate=RATES["lora" if lora else "full"],
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        logging_steps=1,
    )
    trainer = SFTTrainer(
        model=str(path),  # a name: TRL chooses how to load it
        args=config,
        train_dataset=train,
        processing_class=tokenizer,
        peft_config=lora_config(16, None) if lora else None,
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    tokens = max(row.get("num_tokens", 0) for row in trainer.state.log_history)
    network = trainer.model.merge_and_unload() if lora else trainer.model
    network.float().save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    loss = validation_loss(folder / "model", rows(count)[1])
    return {"tokens": tokens, "seconds": seconds, "loss": loss}


def ours(model: str, count: int, steps: int, folder: Path, *, lora: bool) -> dict[str, float]:
    """Train by our recipe."""
    from selfinstruct.models import resolve_model
    from selfinstruct.train.data.rows import Split
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.sft import SFT, SftSettings
    from selfinstruct.train.runner import train as run_recipe

    train, held = rows(count)
    options = {"max_steps": steps, "save_strategy": "no", "eval_strategy": "no"}
    options |= {"logging_steps": 1}
    last: dict[str, float] = {}

    def listen(event: Any) -> None:
        if event.tokens:
            last.update(tokens=event.tokens, seconds=event.seconds)

    local = resolve_model(model, lambda *_: None)
    settings = SftSettings("lora" if lora else "full", options=options, diverse=False, patience=0)
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


def run_arm(arm: str, model: str, count: int, steps: int) -> dict[str, float]:
    """Train one arm in this process; return its figures."""
    who, _, method = arm.partition("-")
    lora = method == "lora"
    way = trl if who == "trl" else ours
    with tempfile.TemporaryDirectory() as folder:
        figures = way(model, count, steps, Path(folder), lora=lora)
    # Linux counts kilobytes. The validation is in it: it needs less than the training.
    return {**figures, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--only", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(run_arm(options.only, options.model, options.rows, options.steps)))
        return
    console = Console()
    table = Table(title=f"SFT of {options.model}, {options.steps} steps")
    columns = ("", "tokens/s", f"÷ {BASELINE}", "tokens", "peak GB", "validation loss")
    for column in columns:
        table.add_column(column, justify="left" if not column else "right")
    found: dict[str, dict[str, float]] = {}
    for arm in options.arms.split(","):
        command = [sys.executable, __file__, "--only", arm, "--model", options.model]
        command += ["--rows", str(options.rows), "--steps", str(options.steps)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{arm} failed:\n{done.stderr[-3000:]}")
        found[arm] = json.loads(done.stdout.splitlines()[-1])
        console.print(f"{arm}: {json.dumps(found[arm])}", highlight=False)
    speeds = {arm: row["tokens"] / row["seconds"] for arm, row in found.items()}
    for arm, row in found.items():
        ratio = f"{speeds[arm] / speeds[BASELINE]:.2f}" if BASELINE in speeds else ""
        figures = f"{row['tokens']:,.0f}", f"{row['memory']:.1f}", f"{row['loss']:.3f}"
        table.add_row(arm, f"{speeds[arm]:,.0f}", ratio, *figures)
    console.print(table)


if __name__ == "__main__":
    main()
