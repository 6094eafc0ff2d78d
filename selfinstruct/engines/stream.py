"""Work for an engine in one stream, so that the engine is never without requests.

A flow cuts its work into parts (an answer, a duel, a self-chat), and those into batches. Many parts
are open at a time, and the next one is opened as soon as there is room. Batches are handed on
whole and in order, so a flow can commit one after the other: while the last requests of a batch
are out, those of the next batches are in flight already. What a part asks depends on that part
alone, never on what came back first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from selfinstruct.common.records import Completion, Request
from selfinstruct.engines.base import Engine
from selfinstruct.engines.received import received
from selfinstruct.engines.retries import Retries


class Part(Protocol):
    """A part of a flow's work: its requests, and the completions that it keeps."""

    def start(self) -> list[Request]:
        """Return the first requests; none if there is nothing to ask."""

    def take(self, completion: Completion) -> list[Request]:
        """Keep a completion; return the requests that follow from it."""


P = TypeVar("P", bound=Part)
T = TypeVar("T")


def stream(
    engine: Engine,
    batches: Iterable[Sequence[P]],
    advance: Callable[[int], object] = lambda _returned: None,
) -> Iterator[Sequence[P]]:
    """Yield batches of parts in order, each once every request of it is back.

    Parts are opened while fewer requests are in flight than twice what the engine works on at
    once. So one set waits in the engine while this process judges and commits. A request that
    fails is asked again; what still fails goes to its part.

    Args:
        engine: started, with nothing in flight. Whoever leaves the stream early closes the engine.
        batches: the parts; no two have a request of one id. Read as they are opened.
        advance: called before each wait and at the end, with the number of completions that are
            back. What they make whole was handed on before.

    Raises:
        EngineError: the engine died.
    """
    return _Stream(engine, batches, advance).whole_batches()


class _Batch(Generic[P]):
    """A batch, its parts that are not opened yet, and how many requests it waits for."""

    def __init__(self, parts: Sequence[P]) -> None:
        self.parts = parts
        self.unopened = deque(parts)
        self.pending = 0

    @property
    def is_whole(self) -> bool:
        return not self.unopened and self.pending == 0


class _Stream(Generic[P]):
    def __init__(
        self, engine: Engine, batches: Iterable[Sequence[P]], advance: Callable[[int], object]
    ) -> None:
        self._engine = engine
        self._further = iter(batches)
        self._advance = advance
        self._open: deque[_Batch[P]] = deque()
        # The part that waits for each request in flight, by the request's id, and its batch.
        self._waiting: dict[str, tuple[_Batch[P], P]] = {}
        self._retries = Retries()
        self._returned = 0

    def whole_batches(self) -> Iterator[Sequence[P]]:
        self._send([])
        while self._open:
            if self._open[0].is_whole:
                yield self._open.popleft().parts
                continue
            self._advance(self._returned)
            self._collect()
        self._advance(self._returned)

    def _collect(self) -> None:
        """Wait for completions, and send what follows from them."""
        following: list[Request] = []
        for completion in received(self._engine):
            if self._retries.are_left(completion):
                following.append(completion.request)
                continue
            self._returned += 1
            batch, part = self._waiting.pop(completion.id)
            batch.pending -= 1
            following += self._noted(batch, part, part.take(completion))
        self._send(following)

    def _send(self, following: list[Request]) -> None:
        """Send requests, and behind them those of new parts, as far as there is room."""
        requests = list(following)
        while len(self._waiting) < 2 * self._engine.at_once:
            batch = self._batch_to_open()
            if batch is None:
                break
            part = batch.unopened.popleft()
            requests += self._noted(batch, part, part.start())
        if requests:
            self._engine.submit(requests)

    def _batch_to_open(self) -> _Batch[P] | None:
        """Return the first batch with a part that is not opened, if there is one."""
        while not self._open or not self._open[-1].unopened:
            parts = next(self._further, None)
            if parts is None:
                return None
            self._open.append(_Batch(parts))
        return self._open[-1]

    def _noted(self, batch: _Batch[P], part: P, requests: list[Request]) -> list[Request]:
        batch.pending += len(requests)
        self._waiting |= {request.id: (batch, part) for request in requests}
        return requests


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in batches; the last one may be smaller."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
