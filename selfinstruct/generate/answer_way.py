"""What the ways to answer the tasks of a run have in common (answer.py, own_answers.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.records import (
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Request,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.engines.base import Engine
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.generate.requests import RequestBuilder
from selfinstruct.models import Progress
from selfinstruct.verdicts.rulebook import Rulebook

# Tasks of one commit.
BATCH = 256


@dataclass(frozen=True, slots=True)
class Owed:
    """An instance of a task that the rules accepted, which the teacher has not answered."""

    task: InstructionCandidate
    instance: InstanceCandidate


@dataclass(frozen=True, slots=True)
class Answered:
    """Result of `answer`.

    owed: instances that had no answer before.
    written: answers that were written.
    accepted: how many of them passed.
    skipped: instances that are not asked about in this way: open tasks, by votes.
    failed: instances of which a request failed, and which are still owed.
    """

    owed: int
    written: int
    accepted: int
    skipped: int = 0
    failed: int = 0


class OpenAnswer(Protocol):
    """An instance that is being answered, with the completions that are back."""

    owed: Owed

    @property
    def completions(self) -> list[Completion]:
        """Those that are back, in the order in which they were asked for."""

    def start(self) -> list[Request]: ...

    def take(self, completion: Completion) -> list[Request]: ...


class Way(Protocol):
    """A way to answer: which tasks, what is asked, and how the answers are judged.

    settings: what answers.json says of it, beside model and sampling.
    completions: how many a task has, at least.
    """

    settings: Mapping[str, Any]
    completions: int

    def is_same(self, info: Mapping[str, Any]) -> bool:
        """Whether a commit was answered in this way, by its answers.json."""

    def takes(self, owed: Owed) -> bool:
        """Whether a task is answered in this way."""

    def requests(self, owed: Owed) -> list[Request]:
        """Return every request that there may be for a task."""

    def open(self, owed: Owed, number: int) -> OpenAnswer:
        """Begin to answer a task, in the commit of this number."""

    def rows(self, answer: OpenAnswer, rulebook: Rulebook) -> Sequence[AnswerCandidate]:
        """Judge what came back."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked, whatever it is asked.

    make_engine: builds the engine without loading its model.
    model_progress: called with each step of preparing the model, and the share that is done.
    advance: called with (tasks that are answered, all that were owed).
    batch_size: tasks of one commit.
    """

    make_engine: EngineFactory
    model_progress: Progress
    advance: Callable[[int, int], object]
    batch_size: int = BATCH


@dataclass(frozen=True, slots=True)
class Setup:
    """The model that answers: its config, its engine, which is not started yet, and its mode."""

    config: RunConfig
    engine: Engine
    builder: RequestBuilder
    mode: str
