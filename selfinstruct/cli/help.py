"""What `--help` shows of a command: its docstring, an example that works, defaults in one style."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import typer
from rich.markup import escape

_EXAMPLE = "Example:"


def add(app: typer.Typer, name: str, function: Callable[..., Any]) -> None:
    """Make a function a command; the section `Example:` of its docstring ends its help.

    Paragraphs are unwrapped, so that they fill the terminal whatever its width.
    """
    text, _, example = inspect.cleandoc(function.__doc__ or "").partition(f"\n\n{_EXAMPLE}\n")
    function = _with_options(function)
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    app.command(name, help=escape("\n\n".join(paragraphs)), epilog=ending(example))(function)


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command whose records of options stand in its signature as their fields.

    A parameter whose type is a dataclass is such a record: Typer sees an option for each field,
    and the function gets the record.
    """
    kinds = get_type_hints(function, include_extras=True)
    records: dict[str, type[Any]] = {
        name: kind for name, kind in kinds.items() if isinstance(kind, type) and is_dataclass(kind)
    }
    if not records:
        return function

    def command(**values: Any) -> Any:
        made = {
            name: record(**{each.name: values.pop(each.name) for each in fields(record)})
            for name, record in records.items()
        }
        return function(**values, **made)

    own = inspect.signature(function).parameters.values()
    parameters = [
        each.replace(annotation=kinds[each.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for each in own
        if each.name not in records
    ]
    for record in records.values():
        hints = get_type_hints(record, include_extras=True)
        parameters += [
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=each.default,
                annotation=hints[each.name],
            )
            for each in fields(record)
        ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def ending(example: str) -> str:
    """Return the last lines of a help: a command that works."""
    return f"{_EXAMPLE}\n\n{escape(example.strip())}"


def default(meaning: str) -> str:
    """Return what stands at the end of an option's help, as Typer shows the defaults it knows.

    For an option whose default is None: it says what that means.
    """
    return f" [dim]{escape(f'[default: {meaning}]')}[/dim]"
