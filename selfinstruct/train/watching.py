"""The progress of a training: the record that listeners get, and which process reports."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """The training logged a step; `tokens` and `seconds` include those before a resume.

    `what` is `training`, or the name of work that the training waits for. Then `step` of `steps`
    of that work are done.
    """

    step: int
    steps: int
    epoch: float
    loss: float | None
    validation_loss: float | None
    tokens: int
    seconds: float
    what: str = "training"


Listen = Callable[[TrainProgress], object]


def is_main_process() -> bool:
    """Whether this process writes and prints: only one of those that `torchrun` starts does."""
    return os.environ.get("RANK", "0") == "0"
