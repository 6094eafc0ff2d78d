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
from selfinstruct.engines.received import received

# The finish_reason of a request with `scored`.
SCORED = "scored"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; a run warns once, at its start, of what is missing.

    logprobs: returns the log-probability of each token that it writes.
    score: returns the log-probabilities of given tokens (requests with `scored`).
    seeded: samples each request with a seed of its own. Its completion then depends on the request
        alone if the arithmetic does (float32 on a CPU, batch-invariant mode on a GPU); otherwise
        the last bits of a logit depend on the batch.
    continues: continues a turn of the model that the prompt opens (`Conversation.opened`).
    texts: continues a raw text; some servers answer conversations alone.
    """

    logprobs: bool
    score: bool
    seeded: bool
    continues: bool = True
    texts: bool = True


ALL = Capabilities(logprobs=True, score=True, seeded=True)


@dataclass(frozen=True, slots=True)
class EngineUsage:
    """Seconds since the start, and how many of them had no request in flight."""

    seconds: float
    idle_seconds: float


class Engine(Protocol):
    """The interface that the loop uses."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; known once it is built."""

    @property
    def context_length(self) -> int:
        """Most tokens of a prompt together with its completion."""

    @property
    def at_once(self) -> int:
        """Requests that it works on at once, as far as known; what is beyond them waits in it."""

    @property
    def has_chat_template(self) -> bool:
        """Whether it can render conversations."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text that already has BOS and markup."""

    def render(self, prompt: Prompt) -> str:
        """Return the whole text that the model sees for a prompt: BOS and chat markup included.

        Raises:
            ConfigError: the prompt is a conversation, and the model has no chat template.
        """

    def start(self, context_length: int) -> None:
        """Load the model.

        Raises:
            EngineError: it cannot be loaded; the message has the engine's own output.
        """

    def submit(self, requests: Sequence[Request]) -> None:
        """Hand over requests, to write or to score; return at once."""

    def collect(self) -> list[Completion]:
        """Wait for at least one completion; return all that are ready.

        Raises:
            EngineError: the engine died.
        """

    def abort(self, ids: Sequence[str]) -> None:
        """Forget requests; their completions are not returned."""

    def settings(self) -> Mapping[str, Any]:
        """Return the settings detected for this machine: device, driver, dtype and so on."""

    def usage(self) -> EngineUsage:
        """Return how long the engine has run, and how long it was idle."""

    def close(self) -> None:
        """Stop, and free all memory."""


def ask_all(
    engine: Engine, requests: Sequence[Request], advance: Callable[[int, int], object]
) -> list[Completion]:
    """Submit requests, wait for all completions, and return them in the order of the requests.

    No other request may be in flight.

    Args:
        engine: a started one.
        requests: all requests.
        advance: called with (requests that are back, all requests).
    """
    engine.submit(requests)
    completions: dict[str, Completion] = {}
    while len(completions) < len(requests):
        completions |= {completion.id: completion for completion in received(engine)}
        advance(len(completions), len(requests))
    return [completions[request.id] for request in requests]


class IdleClock:
    """Adds up the time without a request in flight. Two threads may use it."""

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

    `sampling` does not affect the score; it records how the text was written.
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
