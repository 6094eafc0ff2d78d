"""Where output goes: results to stdout, progress and messages to stderr."""

from __future__ import annotations

import os
import sys

from rich.console import Console

stdout = Console()
stderr = Console(stderr=True)


def terminal() -> Console:
    """Return a console on the terminal behind stderr, also while stderr is set aside.

    The engine keeps what vLLM writes to stderr while it loads off the screen; progress
    shown meanwhile needs a handle of its own.
    """
    try:
        handle = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    except OSError:
        return stderr
    # rich asks the handle itself whether it is a terminal, and how wide.
    known = sys.stderr.isatty() or "COLUMNS" in os.environ
    return Console(file=handle, width=None if known else 100)
