"""Pairs of answers of which a colour is preferred, and DPO on them that takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfinstruct.common.records import LocalModel, Message
from selfinstruct.train.data.preference_rows import PreferenceRow, PreferenceSplit
from selfinstruct.train.recipe import Job
from selfinstruct.train.recipes.dpo import DPO, DpoResult, DpoSettings
from selfinstruct.train.runner import train as run_recipe

COLOURS = ("red", "blue", "green", "white")


def preference(
    number: int, chosen: str, rejected: str, *, weight: float = 1.0, flipped: bool = False
) -> PreferenceRow:
    if flipped:
        chosen, rejected = rejected, chosen
    turns = (Message(role="user", content=f"Name colour {number}."),)
    return PreferenceRow(f"r{number}", f"p{number}", turns, chosen, rejected, weight)


def row(number: int, *, flipped: bool = False) -> PreferenceRow:
    return preference(number, COLOURS[number % 4], f"no dog {number % 3}", flipped=flipped)


ROWS = [row(number) for number in range(64)]
SPLIT = PreferenceSplit(ROWS[:32], ROWS[32:])
QUICK: dict[str, Any] = {
    "num_train_epochs": 2,
    "learning_rate": 5e-3,
    "bf16": False,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "per_device_eval_batch_size": 16,
}


def train(
    model: LocalModel,
    out: Path,
    split: PreferenceSplit = SPLIT,
    listen: Any = lambda event: None,
    **settings: Any,
) -> DpoResult:
    resume = settings.pop("resume", False)
    options = {**QUICK, **settings.pop("options", {})}
    how = DpoSettings(
        **{"max_length": 256, "fresh": 4, "fresh_tokens": 8, **settings}, options=options
    )
    return run_recipe(DPO, Job(split, model, out, how, resume), listen)
