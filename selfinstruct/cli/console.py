"""Where output goes: results to stdout, progress and messages to stderr."""

from __future__ import annotations

import logging
import os
import sys

from rich.console import Console
from rich.logging import RichHandler

from selfinstruct.common.controls import visible

stdout = Console()
stderr = Console(stderr=True)


def plain(text: str) -> str:
    """Return a model's text as a terminal may show it: no character in it is obeyed or hidden."""
    return visible(text)


def log_to(console: Console) -> None:
    """Send log messages through the live display's console, so that they do not break it."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RichHandler):
            handler.console = console


def terminal() -> Console:
    """Return a console on the terminal behind stderr, even while stderr is redirected.

    The engine hides what vLLM writes to stderr while it loads. Progress shown meanwhile needs
    its own handle.
    """
    try:
        handle = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    except OSError:
        return stderr
    # rich asks the handle itself whether it is a terminal, and how wide.
    known = sys.stderr.isatty() or "COLUMNS" in os.environ
    return Console(file=handle, width=None if known else 100)
