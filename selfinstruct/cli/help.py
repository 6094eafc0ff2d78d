"""What `--help` shows of a command: its docstring, an example that works, defaults in one style."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer
from rich.markup import escape

_EXAMPLE = "Example:"


def add(app: typer.Typer, name: str, function: Callable[..., Any]) -> None:
    """Make a function a command; the section `Example:` of its docstring ends its help.

    Paragraphs are unwrapped, so that they fill the terminal whatever its width.
    """
    text, _, example = inspect.cleandoc(function.__doc__ or "").partition(f"\n\n{_EXAMPLE}\n")
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    app.command(name, help=escape("\n\n".join(paragraphs)), epilog=ending(example))(function)


def ending(example: str) -> str:
    """Return the last lines of a help: a command that works."""
    return f"{_EXAMPLE}\n\n{escape(example.strip())}"


def default(meaning: str) -> str:
    """Return what stands at the end of an option's help, as Typer shows the defaults it knows.

    For an option whose default is None: it says what that means.
    """
    return f" [dim]{escape(f'[default: {meaning}]')}[/dim]"
