"""The stream of a flow's requests: always some in flight, batches in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from selfinstruct.common.errors import EngineError
from selfinstruct.common.records import Completion, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.engines.retries import TRIES
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.engines.stream import batched, stream
from tests.generate.test_failures import Failing


def request(id: str) -> Request:
    return Request(id, id, Stage.ANSWER, Reading(Form.WHOLE), f"Say {id}.", SamplingConfig())


class Chain:
    """Asks one request after the other: `length` of them."""

    def __init__(self, name: str, length: int = 1) -> None:
        self.name, self.length = name, length
        self.returned: list[Completion] = []

    def start(self) -> list[Request]:
        return self._next()

    def take(self, completion: Completion) -> list[Request]:
        self.returned.append(completion)
        return self._next()

    def _next(self) -> list[Request]:
        number = len(self.returned)
        return [request(f"{self.name}-{number}")] if number < self.length else []


def echo(request: Request) -> str:
    return f" {request.id}"


def in_flight(engine: ScriptedEngine) -> int:
    return len(engine._waiting)


@pytest.mark.parametrize("shuffle", [None, 0, 1])
def test_the_engine_is_never_dry_between_batches(shuffle: int | None) -> None:
    engine = ScriptedEngine(echo, batch=3, shuffle=shuffle)
    parts = [Chain(f"p{n}") for n in range(40)]
    seen = []
    for number, batch in enumerate(stream(engine, batched(parts, 5)), start=1):
        assert [part.name for part in batch] == [f"p{n}" for n in range(5 * number - 5, 5 * number)]
        assert all(len(part.returned) == 1 for part in batch)
        seen.append(in_flight(engine))
        left = 40 - sum(len(part.returned) for part in parts)
        assert in_flight(engine) == min(2 * engine.at_once, left)
    assert seen[0] == 2 * engine.at_once
    assert len(seen) == 8


def test_what_follows_goes_before_what_is_new() -> None:
    """So a batch with scores to come is whole soon, however many batches there are."""
    engine = ScriptedEngine(echo, batch=4)
    parts = [Chain(f"p{n}", length=3) for n in range(100)]
    returned = [
        sum(len(part.returned) for part in parts) for _ in stream(engine, batched(parts, 10))
    ]
    # Of a batch itself, and of what is in flight beside its last request.
    for number, count in enumerate(returned, start=1):
        assert count <= 30 * number + 3 * 2 * engine.at_once


def test_no_more_is_opened_than_there_is_room_for() -> None:
    engine = ScriptedEngine(echo, batch=4)
    opened = []

    def batches() -> Iterator[Sequence[Chain]]:
        for number in range(50):
            opened.append(number)
            yield [Chain(f"p{number}-{part}", length=2) for part in range(2)]

    for number, _ in enumerate(stream(engine, batches())):
        assert in_flight(engine) <= 2 * engine.at_once
        assert len(opened) <= number + 1 + 2 * engine.at_once


def test_parts_that_ask_nothing_are_whole_at_once() -> None:
    engine = ScriptedEngine(echo)
    parts = [Chain(f"p{n}", length=n % 3) for n in range(10)]
    told: list[int] = []
    batches = list(stream(engine, batched(parts, 4), told.append))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert [len(part.returned) for part in parts] == [n % 3 for n in range(10)]
    assert told == sorted(told)
    assert told[-1] == len(engine.requests) == sum(n % 3 for n in range(10))
    silent = ScriptedEngine(echo)
    assert len(list(stream(silent, batched([Chain("p", length=0)] * 3, 2)))) == 2
    assert list(stream(silent, [])) == []
    assert silent.requests == []


def test_a_failure_is_asked_again_and_then_handed_on() -> None:
    engine = Failing(echo, lambda request, _: request.id == "p1-0")
    parts = [Chain(f"p{n}") for n in range(3)]
    list(stream(engine, batched(parts, 2)))
    asked = [request.id for request in engine.requests]
    assert (asked.count("p0-0"), asked.count("p1-0")) == (1, TRIES)
    assert [part.returned[0].error is None for part in parts] == [True, False, True]


def test_an_engine_that_dies_ends_the_stream() -> None:
    parts = [Chain(f"p{n}") for n in range(30)]
    batches = stream(ScriptedEngine(echo, batch=2, die_after=17), batched(parts, 4))
    assert len([next(batches) for _ in range(4)]) == 4
    with pytest.raises(EngineError):
        next(batches)
