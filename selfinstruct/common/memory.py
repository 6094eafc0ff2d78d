"""Keep freed memory for the next tensor; by default the C library returns it each time."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Make malloc reuse large blocks in this process (only glibc; elsewhere nothing happens).

    By default every block above 32 MiB is newly mapped, its pages are zeroed one fault at a time,
    and it is unmapped when freed. Logits over a vocabulary of 262,144 words are such blocks, and
    each step needs several: the process spends more time in the kernel than in its own work.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)
