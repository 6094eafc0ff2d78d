"""What becomes of the candidates of a run by other thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import eq
from typing import overload

import numpy as np
from numpy.typing import NDArray

from selfinstruct.filters.outcomes import PENDING_INSTANCES

PENDING = PENDING_INSTANCES.reason


@dataclass(frozen=True, slots=True)
class Change:
    """A candidate whose outcome changes: `accepted`, a reason, `pending_instances`."""

    id: str
    before: str
    after: str
    text: str
    mean_logprob: float
    rouge_l: float
    neighbour_id: str | None


class Changes(Sequence[Change]):
    """Changes in order. Each is made, and its text read, when it is asked for.

    The changes of a large run, with their texts, would fill the memory.

    Args:
        rows: places of the candidates that change, in order.
        make: makes the change at a place.
        last: changes that come after those.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        make: Callable[[int], Change],
        last: Sequence[Change] = (),
    ) -> None:
        self._rows, self._make, self._last = rows, make, last

    def __len__(self) -> int:
        return len(self._rows) + len(self._last)

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same changes."""
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return what the list of them has."""
        return repr(list(self))

    def __iter__(self) -> Iterator[Change]:
        for row in self._rows:
            yield self._make(int(row))
        yield from self._last

    @overload
    def __getitem__(self, place: int) -> Change: ...
    @overload
    def __getitem__(self, place: slice) -> list[Change]: ...
    def __getitem__(self, place: int | slice) -> Change | list[Change]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        at = range(len(self))[place]
        many = len(self._rows)
        return self._make(int(self._rows[at])) if at < many else self._last[at - many]


@dataclass(frozen=True)
class WhatIf:
    """Counts by outcome, as recorded and with the other thresholds, and every change.

    `before`, `after` and `changes` are of instructions; `instances_before`, `instances_after`
    and `instance_changes` of instances. `thresholds` are the least nats per token in the last
    round, by kind.
    """

    before: Counter[str]
    after: Counter[str]
    changes: Sequence[Change]
    instances_before: Counter[str]
    instances_after: Counter[str]
    instance_changes: Sequence[Change]
    thresholds: Mapping[str, float | None]
