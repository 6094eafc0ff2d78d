"""The command line: one file per command. `main` is the entry point."""

from __future__ import annotations

import os
import sys
import threading

# Threads in native code that nobody can stop: vllm_drivers.ENGINE_THREAD, launch.KERNEL_THREAD.
NATIVE_THREADS = ("vllm-engine", "novelty-kernels")


def main() -> None:
    """Run the command line and exit with its code (0, 1, 2, 3, 4, 130)."""
    from selfinstruct.cli.app import run

    code = run(sys.argv[1:])
    if any(thread.name in NATIVE_THREADS for thread in threading.enumerate()):
        # Interrupted while an engine loaded or computed, or while kernels were compiled. Python's
        # own exit would tear the interpreter down under their native code, and crash.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
