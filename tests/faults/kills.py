"""Kill every writing command at its file operations, or cut the power there."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.operations import Fault
from tests.faults.points import Course


def faults_of(course: Course, every: int = 1, first: int = 0) -> Iterator[Fault]:
    """Yield a kill or a power cut, in turn, at every n-th operation of a command."""
    for turn, number in enumerate(range(first, len(course.operations), every)):
        yield Fault(number, power=turn % 2 == 1)
