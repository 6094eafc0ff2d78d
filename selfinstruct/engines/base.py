"""The Engine protocol: requests in, completions out, in any order, many in flight."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from selfinstruct.common import ids
from selfinstruct.common.records import Completion, Form, Prompt, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig

# The finish_reason of a request that was scored and not written.
SCORED = "scored"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; what it cannot is said once, up front.

    logprobs: returns the log-probability of each token that it writes.
    score: returns those of given tokens (requests with `scored`).
    seeded: each request is sampled with a seed of its own. Its completion then depends on
        the request alone where the arithmetic does (float32 on a CPU, batch-invariant mode
        on a GPU); elsewhere the last bits of a logit depend on the batch.
    """

    logprobs: bool
    score: bool
    seeded: bool


ALL = Capabilities(logprobs=True, score=True, seeded=True)


@dataclass(frozen=True, slots=True)
class EngineUsage:
    """Seconds since the start, and those of them with no request in flight."""

    seconds: float
    idle_seconds: float


class Engine(Protocol):
    """What the loop needs of an engine."""

    capabilities: Capabilities

    @property
    def context_length(self) -> int:
        """Most tokens of a prompt and its completion together."""

    @property
    def has_chat_template(self) -> bool:
        """Whether it can render conversations."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; BOS and markup are in it already."""

    def render(self, prompt: Prompt) -> str:
        """Return the whole text that the model sees of a prompt: BOS and chat markup included.

        Raises:
            ConfigError: a conversation, and the model has no chat template.
        """

    def start(self, context_length: int) -> None:
        """Load the model.

        Raises:
            EngineError: it cannot be loaded; what the engine itself said is in the message.
        """

    def submit(self, requests: Sequence[Request]) -> None:
        """Hand over requests, to write or to score; returns at once."""

    def collect(self) -> list[Completion]:
        """Wait for at least one completion, and return those that are done.

        Raises:
            EngineError: the engine died.
        """

    def abort(self, ids: Sequence[str]) -> None:
        """Forget requests; their completions are not returned."""

    def settings(self) -> Mapping[str, Any]:
        """Return what was found for this machine: device, driver, dtype and the like."""

    def usage(self) -> EngineUsage:
        """Return how long the engine has run and been idle."""

    def close(self) -> None:
        """Stop, and free what is held."""


def ask_all(
    engine: Engine, requests: Sequence[Request], advance: Callable[[int, int], object]
) -> list[Completion]:
    """Have requests completed, with nothing else in flight; return theirs in their order.

    Args:
        engine: a started one.
        requests: what to ask.
        advance: told how many have come back, of how many.
    """
    engine.submit(requests)
    done: dict[str, Completion] = {}
    while len(done) < len(requests):
        done |= {completion.id: completion for completion in engine.collect()}
        advance(len(done), len(requests))
    return [done[request.id] for request in requests]


class IdleClock:
    """Adds up the time in which no request is in flight. Safe to use from two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight = 0
        self._start = self._idle_since = time.perf_counter()
        self._idle = 0.0

    def submitted(self, count: int) -> None:
        with self._lock:
            if self._in_flight == 0 and count > 0:
                self._idle += time.perf_counter() - self._idle_since
            self._in_flight += count

    def finished(self, count: int) -> None:
        with self._lock:
            self._in_flight -= count
            if self._in_flight == 0 and count > 0:
                self._idle_since = time.perf_counter()

    def usage(self) -> EngineUsage:
        with self._lock:
            now = time.perf_counter()
            idle = self._idle + (now - self._idle_since if self._in_flight == 0 else 0.0)
            return EngineUsage(now - self._start, idle)


def scoring_request(
    about: str,
    prompt: Prompt,
    token_ids: Sequence[int],
    sampling: SamplingConfig = SamplingConfig(),  # noqa: B008 (it is frozen)
) -> Request:
    """Return the request for the log-probability of each of the tokens after a prompt.

    `sampling` decides nothing of it; it says how what is scored was written.
    """
    return Request(
        id=ids.score(about),
        about=about,
        stage=Stage.SCORE,
        reading=Reading(Form.WHOLE),
        prompt=prompt,
        sampling=sampling,
        scored=tuple(token_ids),
    )
