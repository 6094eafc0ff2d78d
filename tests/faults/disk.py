"""Have the disk refuse the file operations of every writing command."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping

from tests.faults.operations import Fault, Kind
from tests.faults.points import Course

# What a disk says to each kind of operation: full, broken, not allowed.
ERRORS: Mapping[Kind, tuple[int, ...]] = {
    Kind.OPEN: (errno.EACCES, errno.ENOSPC, errno.EIO),
    Kind.WRITE: (errno.ENOSPC, errno.EIO),
    Kind.SYNC: (errno.EIO, errno.ENOSPC),
    Kind.RENAME: (errno.EACCES, errno.ENOSPC, errno.EIO),
    Kind.LINK: (errno.EACCES, errno.ENOSPC),
    Kind.REMOVE: (errno.EACCES, errno.EIO),
    Kind.MAKE: (errno.EACCES, errno.ENOSPC),
}


def faults_of(course: Course, every: int = 1, first: int = 0) -> Iterator[Fault]:
    """Yield an error of the disk at every n-th operation of a command; a full disk stays full."""
    turns: dict[Kind, int] = {}
    for number in range(first, len(course.operations), every):
        kind = course.operations[number].kind
        turn = turns[kind] = turns.get(kind, -1) + 1
        code = ERRORS[kind][turn % len(ERRORS[kind])]
        yield Fault(number, code, lasts=code == errno.ENOSPC)
