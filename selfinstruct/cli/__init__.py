"""The command line: one file per command. `main` is the entry point."""

from __future__ import annotations

import os
import sys
import threading


def main() -> None:
    """Run the command line and exit with its code (0, 1, 2, 3, 4, 130)."""
    from selfinstruct.cli.app import run

    code = run(sys.argv[1:])
    if any(thread.name == "vllm-engine" for thread in threading.enumerate()):
        # An engine was interrupted while it loaded. Python's own exit would tear the interpreter
        # down under vLLM's native code, and crash.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
