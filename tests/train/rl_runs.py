"""Prompts whose answers are rewarded for letters, and RL on them that takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfinstruct.common.records import LocalModel, Message
from selfinstruct.train.data.prompts import PromptSplit, RlPrompt
from selfinstruct.train.recipe import Job
from selfinstruct.train.recipes.rl import ALGORITHMS, RlData, RlResult
from selfinstruct.train.recipes.rl_settings import RlSettings
from selfinstruct.train.rewards.parse import parse_gold, parse_rewards
from selfinstruct.train.runner import train as run_recipe

LETTERS, OTHERS = "tests.train.rl_runs:letters", "tests.train.rl_runs:others"


def letters(completions: Sequence[str]) -> list[float]:
    """The share of an answer's characters that are letters of ASCII."""
    return [
        sum(one.isascii() and one.isalpha() for one in text) / max(len(text), 1)
        for text in completions
    ]


def others(completions: Sequence[str]) -> list[float]:
    """What falls as `letters` rises."""
    return [1 - share for share in letters(completions)]


def prompt(number: int) -> RlPrompt:
    turns = (Message(role="user", content=f"Name colour {number}."),)
    return RlPrompt(f"p{number}", turns, "red", ("exact", ("red",)))


PROMPTS = [prompt(number) for number in range(48)]
SPLIT = PromptSplit(PROMPTS[:16], PROMPTS[16:], name="colours")
QUICK: dict[str, Any] = {"learning_rate": 2e-2, "bf16": False}
BETA = 0.01


def train(
    model: LocalModel,
    out: Path,
    split: PromptSplit = SPLIT,
    listen: Any = lambda event: None,
    **settings: Any,
) -> RlResult:
    resume = settings.pop("resume", False)
    rewards = parse_rewards(settings.pop("rewards", [LETTERS]))
    gold = parse_gold(settings.pop("gold", None), rewards)
    options = {**QUICK, **settings.pop("options", {})}
    quick = {"max_length": 256, "k": 4, "answer_tokens": 8, "steps": 8, "fresh": 32, "beta": BETA}
    how = RlSettings(**{**quick, **settings}, options=options)
    data = RlData(split, rewards, gold)
    return run_recipe(ALGORITHMS[how.algo], Job(data, model, out, how, resume), listen)
