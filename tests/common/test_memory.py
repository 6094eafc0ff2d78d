"""Freed memory is kept: the next block of its size costs no page faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource, sys
from selfinstruct.common.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 256 << 20
def use():
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, way], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_a_block_that_was_freed_is_used_again() -> None:
    given_back = faults("as it is")
    if given_back < 100:
        pytest.skip("this C library keeps large blocks by itself")
    assert faults("keep") < given_back / 10


RELEASED = """
import ctypes
from selfinstruct.common.memory import freed_memory, keep_freed_memory, release_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
block, above = libc.malloc(256 << 20), libc.malloc(1 << 10)  # `above` holds the heap's end
ctypes.memset(block, 1, 256 << 20)
libc.free(block)
kept = resident() - before
print(kept >> 20, freed_memory() >> 20, release_freed_memory(400 << 20),
      release_freed_memory(100 << 20), resident() - before >> 20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_what_is_kept_is_given_back_if_it_is_too_much() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RELEASED], check=True, capture_output=True, text=True
    )
    kept, told, too_early, released, left = done.stdout.split()
    if int(told) == 0:
        pytest.skip("this C library does not tell what it keeps")
    assert 250 <= int(kept) <= 300
    assert 250 <= int(told) <= 300
    assert (too_early, released) == ("False", "True")
    assert int(left) < 20
