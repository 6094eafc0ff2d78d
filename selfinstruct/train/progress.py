"""How far a training is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """A step was logged. `tokens` have been trained on since the start of this process."""

    step: int
    steps: int
    epoch: float
    loss: float | None
    validation_loss: float | None
    tokens: int
    seconds: float


Listen = Callable[[TrainProgress], object]
