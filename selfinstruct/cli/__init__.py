"""The command line: one file per command. `main` is the entry point."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading

# Threads in native code that nobody can stop: vllm_drivers.ENGINE_THREAD, launch.KERNEL_THREAD.
NATIVE_THREADS = ("vllm-engine", "novelty-kernels")
# Libraries whose own clean-up takes seconds, and frees only what the system frees anyway.
SLOW_TO_END = ("vllm", "torch")
_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code (0, 1, 2, 3, 4, 130)."""
    from selfinstruct.cli.app import run

    code = run(sys.argv[1:])
    if ends_at_once(code):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def ends_at_once(code: int) -> bool:
    """Whether the process ends without Python's clean-up.

    It must, if it was interrupted while an engine loaded or computed, or while kernels were
    compiled: Python would tear the interpreter down under their native code, and crash. It may,
    if a person waits for it to end, and it has left no process behind.
    """
    if any(thread.name in NATIVE_THREADS for thread in threading.enumerate()):
        return True
    slow = any(name in sys.modules for name in SLOW_TO_END)
    return code == _INTERRUPTED and slow and not _has_processes()


def _has_processes() -> bool:
    """Whether processes are left that Python's clean-up stops."""
    ray = sys.modules.get("ray")  # vLLM imports it wherever it is installed
    return bool(multiprocessing.active_children()) or (ray is not None and ray.is_initialized())
