"""Events of a run, as plain records; the CLI shows them."""

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
    """The engine of this title is about to load the model."""

    model: str
    engine: str


@dataclass(frozen=True, slots=True)
class EngineReady:
    """The model is loaded; `settings` are the engine's, detected values among them."""

    settings: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True)
class Probing:
    """Short requests that show which prompting suits the model: `returned` of `requests`."""

    returned: int
    requests: int


@dataclass(frozen=True, slots=True)
class ProbedRow:
    """Result of one stage in one mode of prompting.

    candidates: instructions, or tasks that were to be answered; for the classify stage, pairs of a
        classification task and another.
    unparsed: completions that cannot be parsed.
    copies: instructions that equal or hold a shown task.
    kept: candidates that no rule rejects; pairs in which the classification task is likelier one.
    tokens: generated.
    """

    stage: str
    mode: str
    candidates: int
    unparsed: int
    copies: int
    kept: int
    tokens: int

    @property
    def share(self) -> float:
        """Kept of the candidates."""
        return self.kept / self.candidates if self.candidates else 0.0


@dataclass(frozen=True, slots=True)
class Probed:
    """The mode that is chosen for each stage, and why; `cached` where an earlier run found it."""

    rows: tuple[ProbedRow, ...]
    modes: Mapping[str, str]
    seconds: float
    cached: bool


@dataclass(frozen=True, slots=True)
class Calibrating:
    """Scoring requests over seed tasks came back: `returned` of `requests`."""

    returned: int
    requests: int


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The seed tasks are scored; `cached` where the scores come from an earlier run."""

    texts: int
    seconds: float
    cached: bool


@dataclass(frozen=True, slots=True)
class Working:
    """Sent when the engine has answered some requests.

    `tasks` counts committed tasks. `requests` is the number of requests in the rounds in progress,
    and `returned` is how many of these have been answered. `tokens` counts the tokens generated
    since the process started. `proposed` is the first instruction that was proposed since then;
    it is not judged yet.
    """

    round: int
    tasks: int
    target: int
    returned: int
    requests: int
    tokens: int
    proposed: str | None = None


@dataclass(frozen=True, slots=True)
class RoundCommitted:
    """A round was committed; `info` is its round.json, `newest` the text of its last task."""

    round: int
    tasks: int
    target: int
    info: Mapping[str, Any]
    newest: str | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The loop ends before its target, interrupted or by an error.

    `rounds` with `tasks` are committed; of the open rounds, `kept` completions of the `requests`
    that are known so far are journalled.
    """

    rounds: int
    tasks: int
    target: int
    kept: int
    requests: int


@dataclass(frozen=True, slots=True)
class Advised:
    """Something is wrong that the user can change; `text` says what, and how."""

    text: str


@dataclass(frozen=True, slots=True)
class Conversing:
    """Self-chats are written: `done` of `owed`."""

    done: int
    owed: int


@dataclass(frozen=True, slots=True)
class Conversed:
    """Result of `converse`.

    Attributes:
        owed: tasks that had no conversation with these settings before.
        written: conversations that were committed.
        accepted: how many of them are accepted.
        exchanges: the exchanges of the accepted ones, including the first of each.
        failed: conversations that are still missing, because the engine failed on their requests.
    """

    owed: int = 0
    written: int = 0
    accepted: int = 0
    exchanges: int = 0
    failed: int = 0

    def __str__(self) -> str:
        if not self.owed:
            return "every task has a conversation with these settings"
        accepted = f"{self.accepted} of {self.written} conversations accepted"
        failed = f"; {self.failed} are still missing: the engine failed on them, run this again"
        return f"{accepted}, with {self.exchanges} exchanges{failed if self.failed else ''}"


Event = (
    ModelPreparing
    | EngineLoading
    | EngineReady
    | Probing
    | Probed
    | Calibrating
    | Calibrated
    | Working
    | RoundCommitted
    | Stopped
    | Advised
    | Conversing
    | Conversed
)
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Ignore every event."""
