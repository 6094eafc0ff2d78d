"""How far a training is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """A step was logged. `tokens` have been trained on in `seconds`, resumptions included.

    `what` goes on: `training`, or something that it waits for, of which `step` of `steps` are
    done.
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
    """Whether this process writes and speaks: of several that `accelerate launch` starts, one."""
    return os.environ.get("RANK", "0") == "0"
