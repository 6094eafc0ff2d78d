"""Keep freed memory for the next tensor; by default the C library returns it each time."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks")


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (*_FIELDS, "fordblks", "keepcost")]


def keep_freed_memory() -> None:
    """Make malloc reuse large blocks in this process (only glibc; elsewhere nothing happens).

    By default every block above 32 MiB is newly mapped, its pages are zeroed one fault at a time,
    and it is unmapped when freed. Logits over a vocabulary of 262,144 words are such blocks, and
    each step needs several: the process spends more time in the kernel than in its own work.
    """
    mallopt = getattr(_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def freed_memory() -> int:
    """Return the bytes that malloc keeps for later; 0 where it does not tell (glibc < 2.33)."""
    mallinfo = getattr(_library(), "mallinfo2", None)
    if mallinfo is None:
        return 0
    mallinfo.restype = _Mallinfo
    return int(mallinfo().fordblks)


def release_freed_memory(more_than: int) -> bool:
    """Give what malloc keeps back to the system, if it is more than so many bytes.

    Blocks of ever new sizes do not fit into those that were freed before, so what is kept grows
    without end. Called between batches, this costs far less than not to keep anything.

    Returns:
        Whether it did.
    """
    if freed_memory() <= more_than:
        return False
    _library().malloc_trim(0)
    return True


def _library() -> Any:
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None
