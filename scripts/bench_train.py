"""Our recipes beside TRL's trainers: the same model, data and steps, in one run.

    python scripts/bench_train.py [--kinds sft,dpo,reward] [--arms trl,trl-lora,ours-lora,ours-full]
        [--rows 160] [--steps 12] [--repeat 1] [--model bundled]

Each arm trains on the same tokens of shipped tasks, in a process of its own:

    trl         TRL's trainer with its defaults, given the model by its name: all weights, in
                float32 under bfloat16 autocast, padded batches of 8, gradient checkpointing
    trl-lora    the same with adapters of our shape (r 16, all linear layers)
    ours-lora   our recipe with its defaults: adapters
    ours-full   our recipe on all weights

All arms have the learning rate of our recipe for their kind of weights: TRL's own is made for all
weights, and too low for adapters. Schedule and warm-up are each side's own. Pairs are an answer
and that of the next task. A step is 8 pairs on both sides; for SFT ours is two packs of 512 tokens,
TRL's 8 rows, so tokens are in the table. Our DPO watches the policy by fresh answers, which TRL
does not: the benchmark leaves them out as far as it can (one answer of one token).

Timed is the training alone, without loading. Ours also has the making of the trainer in it, and of
DPO the reference's scores, which TRL computes in each step. The table has non-padding tokens a
second, peak memory of the process, and the loss on held-out data after as many steps, of the saved
model in float32: nats per answer token (SFT) or per pair. With --repeat the arms take turns, and
the table has medians and the range.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

KINDS = ("sft", "dpo", "reward")
ARMS = ("trl", "trl-lora", "ours-lora", "ours-full")
# Ratios are given to this one: the recipe that a user of TRL would compare ours with.
BASELINE = "trl-lora"
RATES = {
    ("sft", "lora"): 2e-4,
    ("sft", "full"): 2e-5,
    ("dpo", "lora"): 3e-4,
    ("dpo", "full"): 5e-6,
    ("reward", "lora"): 1e-4,
    ("reward", "full"): 1e-5,
}
HELD_OUT = {"sft": 40, "dpo": 20, "reward": 20}
BETA = 0.1


def data(kind: str, count: int) -> tuple[list[Any], list[Any]]:
    """Return rows, or pairs, to train on and held out: shipped seed tasks and eval tasks."""
    from selfinstruct.evaluate.tasks import shipped_eval_tasks
    from selfinstruct.inputs.seeds import shipped_seeds
    from selfinstruct.train.data.rows import read_rows

    rows = [*read_rows(shipped_seeds()).rows, *read_rows(shipped_eval_tasks()).rows]
    held = HELD_OUT[kind]
    found: list[Any] = rows if kind == "sft" else pairs(rows)
    return found[: min(count, len(found) - held)], found[-held:]


def pairs(rows: Sequence[Any]) -> list[Any]:
    """Return pairs: the answer to a task, and to the next task, where the two differ."""
    from selfinstruct.common.records import Message
    from selfinstruct.train.data.preference_rows import PreferenceRow

    return [
        PreferenceRow(
            row.id,
            row.id,
            (Message(role="user", content=row.users[0]),),
            row.answer,
            other.answer,
        )
        for row, other in zip(rows, [*rows[1:], rows[0]], strict=True)
        if row.answer != other.answer
    ]


def encoded(kind: str, rows: Sequence[Any], path: Path) -> tuple[list[Any], Any]:
    """Return rows as our tokens, with the tokenizer."""
    from collections import Counter

    from transformers import AutoTokenizer

    from selfinstruct.train.data.encode import encode_rows, prepare_tokenizer
    from selfinstruct.train.data.encode_pairs import encode_pairs

    tokenizer = AutoTokenizer.from_pretrained(path)
    prepare_tokenizer(tokenizer)
    if kind == "sft":
        found = encode_rows(rows, tokenizer, max_length=1024, diverse=False, seed=0)
        return list(found.rows), tokenizer
    dropped: Counter[str] = Counter()
    return encode_pairs(rows, tokenizer, max_length=1024, dropped=dropped), tokenizer


def trl_trainer(kind: str) -> tuple[Any, Any]:
    """Return TRL's trainer and its configuration; DPO's takes tokens as they are."""
    import trl

    if kind == "sft":
        return trl.SFTTrainer, trl.SFTConfig
    if kind == "reward":
        return trl.RewardTrainer, trl.RewardConfig

    class OnTokens(trl.DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    return OnTokens, trl.DPOConfig


def columns(kind: str, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return rows of tokens with the columns that TRL's trainer reads."""
    if kind == "sft":
        return [{"input_ids": row.input_ids, "labels": row.labels} for row in rows]
    if kind == "dpo":
        names = ("prompt_ids", "chosen_ids", "rejected_ids")
        return [{name: getattr(pair, name) for name in names} for pair in rows]
    return [
        {
            "chosen_ids": pair.prompt_ids + pair.chosen_ids,
            "rejected_ids": pair.prompt_ids + pair.rejected_ids,
        }
        for pair in rows
    ]


def trl(
    kind: str, path: Path, rows: Sequence[Any], steps: int, folder: Path, *, lora: bool
) -> dict[str, float]:
    """Train by TRL's defaults; on a CPU, since ours does."""
    from datasets import Dataset

    from selfinstruct.train.adapter import lora_config

    tokens, tokenizer = encoded(kind, rows, path)
    trainer_class, config_class = trl_trainer(kind)
    config = config_class(
        output_dir=str(folder),
        max_steps=steps,
        learning_rate=RATES[kind, "lora" if lora else "full"],
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        logging_steps=1,
    )
    trainer = trainer_class(
        model=str(path),  # a name: TRL chooses how to load it
        args=config,
        train_dataset=Dataset.from_list(columns(kind, tokens)),
        processing_class=tokenizer,
        peft_config=lora_config(16, None, reward=kind == "reward") if lora else None,
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    learnt = max(row.get("num_tokens", 0) for row in trainer.state.log_history)
    network = trainer.model.merge_and_unload() if lora else trainer.model
    network.float().save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return {"tokens": learnt, "seconds": seconds}


def ours(
    kind: str, path: Path, rows: Sequence[Any], steps: int, folder: Path, *, lora: bool
) -> dict[str, float]:
    """Train by our recipe."""
    from selfinstruct.models import resolve_model
    from selfinstruct.train.data.preference_rows import PreferenceSplit
    from selfinstruct.train.data.rows import Split
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.dpo import DPO, DpoSettings
    from selfinstruct.train.recipes.reward import REWARD, RewardData, RewardSettings
    from selfinstruct.train.recipes.sft import SFT, SftSettings
    from selfinstruct.train.runner import train as run_recipe

    how: dict[str, Any] = {"method": "lora" if lora else "full", "patience": 0}
    how["options"] = {
        "max_steps": steps,
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_steps": 1,
        "learning_rate": RATES[kind, how["method"]],
    }
    recipe: Any
    split: Any
    settings: Any
    if kind == "sft":
        recipe, split, settings = SFT, Split([*rows], [], []), SftSettings(**how, diverse=False)
    elif kind == "dpo":
        recipe, split = DPO, PreferenceSplit([*rows], [])
        settings = DpoSettings(**how, fresh=1, fresh_tokens=1)
    else:
        # The runner reports on held-out pairs: two of them, as few as there may be.
        recipe, split = REWARD, RewardData(PreferenceSplit([*rows], [*rows[:2]]))
        settings = RewardSettings(**how)
    last: dict[str, float] = {}

    def listen(event: Any) -> None:
        if event.what == "training" and event.tokens:
            last.update(tokens=event.tokens, seconds=event.seconds)

    local = resolve_model(str(path), lambda *_: None)
    run_recipe(recipe, Job(split, local, folder / "model", settings), listen)
    return last


def held_out_loss(kind: str, path: Path, base: Path, held: Sequence[Any]) -> float:
    """Return the loss of a saved model on held-out data, in float32."""
    if kind == "sft":
        rows, _ = encoded(kind, held, path)
        sums = [answer_nats(path, row.input_ids, row.labels) for row in rows]
        return -sum(nats for nats, _ in sums) / sum(count for _, count in sums)
    found, _ = encoded(kind, held, path)
    if kind == "reward":
        margins = reward_margins(path, found)
    else:
        margins = [
            BETA * (after - before)
            for after, before in zip(log_ratios(path, found), log_ratios(base, found), strict=True)
        ]
    return statistics.fmean(softplus(-margin) for margin in margins)


def softplus(value: float) -> float:
    import math

    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


_LOADED: dict[Path, Any] = {}


def answer_nats(path: Path, ids: Sequence[int], labels: Sequence[int]) -> tuple[float, int]:
    """Return the log-likelihood of the tokens with a label, in nats, and their number."""
    import torch
    from transformers import AutoModelForCausalLM

    if path not in _LOADED:
        _LOADED[path] = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    target = torch.tensor([labels])
    with torch.inference_mode():
        loss = _LOADED[path](torch.tensor([ids]), labels=target).loss
    count = int((target[:, 1:] != -100).sum())
    return -float(loss) * count, count


def log_ratios(path: Path, found: Sequence[Any]) -> list[float]:
    """Return log-likelihoods of chosen answers less those of rejected ones, in nats."""

    def nats(pair: Any, answer: list[int]) -> float:
        ignored = [-100] * len(pair.prompt_ids)
        return answer_nats(path, pair.prompt_ids + answer, ignored + answer)[0]

    return [nats(pair, pair.chosen_ids) - nats(pair, pair.rejected_ids) for pair in found]


def reward_margins(path: Path, found: Sequence[Any]) -> list[float]:
    """Return scores of chosen answers less those of rejected ones."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from selfinstruct.labellers.reward import token_scores

    network = AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=1, dtype=torch.float32
    ).eval()
    answers = [
        pair.prompt_ids + ids for pair in found for ids in (pair.chosen_ids, pair.rejected_ids)
    ]
    scores = token_scores(network, answers)
    return [good - bad for good, bad in zip(scores[::2], scores[1::2], strict=True)]


def run_arm(kind: str, arm: str, model: str, count: int, steps: int) -> dict[str, float]:
    """Train one arm in this process; return its figures."""
    from selfinstruct.models import resolve_model

    who, _, method = arm.partition("-")
    path = resolve_model(model, lambda *_: None).path
    rows, held = data(kind, count)
    way = trl if who == "trl" else ours
    with tempfile.TemporaryDirectory() as folder:
        figures = way(kind, path, rows, steps, Path(folder), lora=method == "lora")
        # Linux counts kilobytes.
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        loss = held_out_loss(kind, Path(folder) / "model", path, held)
    return {**figures, "loss": loss, "memory": memory}


def print_table(console: Console, title: str, found: dict[str, list[dict[str, float]]]) -> None:
    """Print medians of the runs of each arm."""
    table = Table(title=title)
    shown = ("", "tokens/s", f"÷ {BASELINE}", "tokens", "peak GB", "held-out loss")
    for column in shown:
        table.add_column(column, justify="left" if not column else "right")
    speeds = {arm: [run["tokens"] / run["seconds"] for run in runs] for arm, runs in found.items()}
    for arm, runs in found.items():
        speed = f"{statistics.median(speeds[arm]):,.0f}"
        if len(runs) > 1:
            speed += f" ({min(speeds[arm]):,.0f} to {max(speeds[arm]):,.0f})"
        ratio = ""
        if BASELINE in speeds:
            ratios = statistics.median(speeds[arm]) / statistics.median(speeds[BASELINE])
            ratio = f"{ratios:.2f}"
        middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        figures = f"{middle['tokens']:,.0f}", f"{middle['memory']:.1f}", f"{middle['loss']:.3f}"
        table.add_row(arm, speed, ratio, *figures)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", default="sft")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--only", nargs=2, metavar=("KIND", "ARM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        kind, arm = options.only
        print(json.dumps(run_arm(kind, arm, options.model, options.rows, options.steps)))
        return
    kinds, arms = options.kinds.split(","), options.arms.split(",")
    for name, known in (*((kind, KINDS) for kind in kinds), *((arm, ARMS) for arm in arms)):
        if name not in known:
            parser.error(f"{name!r} is none of {', '.join(known)}")
    console = Console(width=100)
    for kind in kinds:
        found: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
        for _ in range(options.repeat):
            for arm in arms:
                command = [sys.executable, __file__, "--only", kind, arm, "--model", options.model]
                command += ["--rows", str(options.rows), "--steps", str(options.steps)]
                started = time.perf_counter()
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(f"{kind}, {arm} failed:\n{done.stderr[-3000:]}")
                found[arm].append(json.loads(done.stdout.splitlines()[-1]))
                took = time.perf_counter() - started
                text = f"{kind} {arm}: {json.dumps(found[arm][-1])} ({took:.0f} s in all)"
                console.print(text, highlight=False, soft_wrap=True)
        print_table(console, f"{kind} of {options.model}, {options.steps} steps", found)


if __name__ == "__main__":
    main()
