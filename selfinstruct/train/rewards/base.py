"""What a reward is: a record of its kind, and what scores answers once a network is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.train.data.prompts import RlPrompt


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to score: what was asked, its text, and both as token ids."""

    prompt: RlPrompt
    text: str
    prompt_ids: Sequence[int]
    ids: Sequence[int]


Lend = Callable[[], AbstractContextManager[Any]]
"""Returns a context manager that lends the reference network."""

Score = Callable[[Sequence[Answered]], list[float]]
"""Scores answers, in their order: higher is better, NaN where it cannot tell."""

Open = Callable[[Lend], Score]
"""Loads what scoring needs."""


class Needs(StrEnum):
    """What a prompt must have, so that its answers can be scored."""

    NOTHING = "nothing"
    REFERENCE = "an answer to compare with"
    CHECK = "a check"
    EXPECTED = "a column `expect`"


@dataclass(frozen=True)
class Made:
    """A reward of a kind: what loads it, and what it is known by where that can change.

    A resumed training must have rewards that are known by the same.
    """

    open: Open
    known_by: str = ""


@dataclass(frozen=True)
class RewardKind:
    """One kind of reward.

    Attributes:
        name: what the user writes, before the colon where a value follows.
        value: what follows the colon, for the help; empty where nothing does.
        help: what it says of an answer, in half a line.
        make: checks the value and returns the reward, of (value, the option with its value). It
            loads no weights, and raises ConfigError.
        needs: what each prompt must have.
    """

    name: str
    value: str
    help: str
    make: Callable[[str, str], Made]
    needs: Needs = Needs.NOTHING

    @property
    def shown(self) -> str:
        """The form in which a user writes it."""
        return f"{self.name}:{self.value}" if self.value else self.name


@dataclass(frozen=True)
class Reward:
    """A reward as the user asked for it; `text` is that, with its weight."""

    text: str
    weight: float
    needs: Needs
    open: Open
    known_by: str = ""

    def check(self, prompts: Sequence[RlPrompt], option: str) -> None:
        """Refuse prompts whose answers it cannot score.

        Raises:
            ConfigError: names the first one.
        """
        lacking = [prompt.id for prompt in prompts if not _has(prompt, self.needs)]
        if lacking:
            raise ConfigError(
                f"{option} {self.text}: {len(lacking)} of {len(prompts)} prompts lack {self.needs} "
                f"(the first: {lacking[0]}); give another reward, or data that has it in each row"
            )


def _has(prompt: RlPrompt, needs: Needs) -> bool:
    if needs is Needs.REFERENCE:
        return bool(prompt.reference)
    if needs is Needs.EXPECTED:
        return bool(prompt.expect)
    return needs is Needs.NOTHING or prompt.check is not None
