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
from selfinstruct.common.memory import KeptMemory, keep_freed_memory, resident_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
memory = KeptMemory(growth=1.5, least=0)
memory.release()
before = resident_memory()
def batch(megabytes):
    block, above = libc.malloc(megabytes << 20), libc.malloc(1 << 10)  # holds the heap's end
    ctypes.memset(block, 1, megabytes << 20)
    libc.free(block)
    return memory.release_if_more(), resident_memory() - before >> 20
for megabytes in (64, 80, 80, 256):
    print(*batch(megabytes))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_what_is_kept_is_given_back_once_it_grows() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RELEASED], check=True, capture_output=True, text=True
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    if int(rows[0][1]) < 50:
        pytest.skip("this C library keeps nothing")
    assert [row[0] for row in rows] == ["False", "False", "False", "True"]
    assert [int(row[1]) < 100 for row in rows] == [True, True, True, True]
    assert int(rows[-1][1]) < 20
