"""TRL's RLOOTrainer and GRPOTrainer, which also report, take rows as tokens, and are watched.

Loading this file imports TRL, which takes seconds, so import this where the training begins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from trl import GRPOTrainer, RLOOTrainer

from selfinstruct.train.data.prompts import EncodedPrompt
from selfinstruct.train.recipes.answering import Answering
from selfinstruct.train.rewards.base import Answered, Score


class RewardFunction:
    """A reward in the form in which TRL calls it.

    The recipe sets `score` and `rows` once the network is there.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name  # by which TRL logs it
        self.score: Score = lambda answers: [math.nan] * len(answers)
        self.rows: Sequence[EncodedPrompt] = ()

    def __call__(
        self, completions: list[str], completion_ids: list[list[int]], place: list[int], **_: Any
    ) -> list[float | None]:
        """Return the reward of each answer; None, by which TRL leaves it out, for NaN."""
        rows = [self.rows[number] for number in place]
        scores = self.score(
            [
                Answered(row.prompt, text, row.ids, ids)
                for row, text, ids in zip(rows, completions, completion_ids, strict=True)
            ]
        )
        return [None if math.isnan(score) else score for score in scores]


class RlooTrainer(Answering, RLOOTrainer):  # type: ignore[misc]
    """RLOOTrainer that reports, on rows in our own encoding."""


class GrpoTrainer(Answering, GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer that reports, on rows in our own encoding."""
