"""What a run tells whoever watches it: plain records, shown by the CLI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelPreparing:
    """The model's files are being made ready: the present step, and the share that is done."""

    step: str
    share: float


@dataclass(frozen=True, slots=True)
class EngineLoading:
    """The model is about to be loaded, by the engine of this title."""

    model: str
    engine: str


@dataclass(frozen=True, slots=True)
class EngineReady:
    """The model is loaded; `settings` is what was found for the machine."""

    settings: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Calibrating:
    """Scoring requests over seed tasks came back: `done` of `wanted`."""

    done: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The seed tasks are scored; `cached` says that they were before."""

    texts: int
    seconds: float
    cached: bool


@dataclass(frozen=True, slots=True)
class Working:
    """Requests came back.

    `tasks` counts committed ones, `done` of `wanted` requests of the open rounds, `tokens`
    all that were generated since the start of the process.
    """

    round: int
    tasks: int
    target: int
    done: int
    wanted: int
    tokens: int


@dataclass(frozen=True, slots=True)
class RoundCommitted:
    """A round is on disk; `info` is its round.json."""

    round: int
    tasks: int
    target: int
    info: Mapping[str, Any]
    newest: str | None


Event = (
    ModelPreparing
    | EngineLoading
    | EngineReady
    | Calibrating
    | Calibrated
    | Working
    | RoundCommitted
)
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""
