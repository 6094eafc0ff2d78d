"""How far a training is: the record that watchers get, and which process speaks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """The training logged a step; `tokens` and `seconds` include those before a resume.

    `what` is `training`, or the name of something that the training waits for. Then `step` of
    `steps` are done of that.
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
    """Whether this process writes and prints: one of those that `torchrun` starts."""
    return os.environ.get("RANK", "0") == "0"
