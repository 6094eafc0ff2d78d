"""Keep freed memory for the next tensor; by default the C library returns it each time."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_STATM = Path("/proc/self/statm")


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


def resident_memory() -> int:
    """Return the bytes of memory that this process has; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def release_freed_memory() -> None:
    """Give what malloc keeps back to the system (only glibc; elsewhere nothing happens).

    Blocks of ever new sizes do not fit into those that were freed before, so what is kept grows
    without end. Called between batches, this costs far less than not to keep anything.
    """
    trim = getattr(_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


class KeptMemory:
    """Decides when to give freed memory back, by how much there was after the first batches.

    Args:
        growth: so many times as much may be kept as after the first batch.
        least: bytes that may be kept in any case.
    """

    def __init__(self, growth: float = 1.2, least: int = 256_000_000) -> None:
        self._growth, self._least = growth, least
        self._used = 0  # after the last release
        self._usual: int | None = None  # what a batch leaves

    def release(self) -> None:
        """Give it back; the next batch shows anew what a batch leaves."""
        release_freed_memory()
        self._used, self._usual = resident_memory(), None

    def release_if_more(self) -> bool:
        """Give it back if there is far more than the first batch left; return whether it was."""
        kept = resident_memory() - self._used
        if self._usual is None:
            self._usual = kept
        elif kept > max(self._least, self._growth * self._usual):
            self.release()
            return True
        return False


def _library() -> Any:
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None
