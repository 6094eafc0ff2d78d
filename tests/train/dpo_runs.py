"""Pairs of answers of which a colour is preferred, and DPO on them that takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfinstruct.common.records import LocalModel
from selfinstruct.train.dpo import DpoResult, DpoSettings, train_dpo
from selfinstruct.train.preference_rows import PreferenceRow, PreferenceSplit

COLOURS = ("red", "blue", "green", "white")


def preference(
    number: int, chosen: str, rejected: str, *, weight: float = 1.0, flipped: bool = False
) -> PreferenceRow:
    if flipped:
        chosen, rejected = rejected, chosen
    turns = (("user", f"Name colour {number}."),)
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
    return train_dpo(split, model, out, how, listen, resume=resume)
