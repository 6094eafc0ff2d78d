"""Readers of a run: files that `compact` has replaced stay until nobody reads them.

Whoever opens a run holds a shared lock of the operating system on its folder of rounds, until the
`Run` is forgotten. The lock makes no file, and dies with its process. Where a file system has no
such locks, replaced files are removed at once.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from selfinstruct.store.layout import ROUNDS

_WAIT = 5.0  # seconds; removing takes less
_held: dict[str, set[int]] = {}


def hold(run: object, path: Path) -> None:
    """Hold a run as a reader for as long as the object lives.

    Args:
        run: a `Run`.
        path: folder of the run.
    """
    name = str(path.resolve())
    try:
        handle = os.open(path / ROUNDS, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # it has no rounds to read
        return
    _take(handle, fcntl.LOCK_SH)
    _held.setdefault(name, set()).add(handle)
    weakref.finalize(run, _release, name, handle)


@contextmanager
def without_readers(path: Path) -> Iterator[bool]:
    """Keep readers out for a moment; yields False, and does not, if another process is one."""
    own = _held.get(str(path.resolve()), set())
    for other in own:
        _unlock(other)
    handle = os.open(path / ROUNDS, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _is_alone(handle)
    finally:
        os.close(handle)
        for other in own:
            _take(other, fcntl.LOCK_SH)


def _is_alone(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return True
    return True


def _take(handle: int, kind: int) -> None:
    """Lock a handle, if the file system can: nobody has the other lock for long."""
    until = time.monotonic() + _WAIT
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                return
            time.sleep(0.01)
        except OSError:
            return


def _unlock(handle: int) -> None:
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)


def _release(name: str, handle: int) -> None:
    _held.get(name, set()).discard(handle)
    with suppress(OSError):
        os.close(handle)
