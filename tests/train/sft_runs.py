"""Rows of a few colours, and supervised fine-tuning on them that takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfinstruct.common.records import LocalModel, Message
from selfinstruct.train.data.rows import Split
from selfinstruct.train.data.turns import conversation_row, task_row
from selfinstruct.train.recipe import Job
from selfinstruct.train.recipes.sft import SFT, SftResult, SftSettings
from selfinstruct.train.runner import train as run_recipe

COLOURS = ("red", "blue", "green", "white", "black", "brown")
ROWS = [
    task_row(
        f"r{n}", f"Name colour {n}.", f"Name colour {n}.", COLOURS[n % 6], n // 6, f"p{n // 2}"
    )
    for n in range(24)
]
# Conversations of two answers; one in three has a system prompt.
TALKS = [
    conversation_row(
        f"t{n}",
        (
            *([Message(role="system", content="Be brief.")] if n % 3 == 0 else []),
            Message(role="user", content=f"Colour {n}?"),
            Message(role="assistant", content=COLOURS[n % 6]),
            Message(role="user", content="And?"),
            Message(role="assistant", content=COLOURS[n % 5]),
        ),
    )
    for n in range(12)
]
SPLIT = Split(ROWS[:20], ROWS[20:], [])
QUICK: dict[str, Any] = {"num_train_epochs": 2, "learning_rate": 5e-3, "bf16": False}


def tokenizer_of(model: LocalModel) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model.path)


def train(
    model: LocalModel,
    out: Path,
    split: Split = SPLIT,
    listen: Any = lambda event: None,
    **settings: Any,
) -> SftResult:
    resume = settings.pop("resume", False)
    options = {**QUICK, **settings.pop("options", {})}
    how = SftSettings(max_length=settings.pop("max_length", 256), options=options, **settings)
    return run_recipe(SFT, Job(split, model, out, how, resume), listen)
