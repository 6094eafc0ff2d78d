"""What the audit commands share: rows for people and for JSON, a bar over rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from selfinstruct.cli.console import plain, stderr

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

    from selfinstruct.store import Run


@contextmanager
def per_round(run: Run, what: str, *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """Show how many of a run's rounds are done."""
    from selfinstruct.cli.bars import Bars

    if quiet:
        yield lambda _: None
        return
    with Bars(stderr) as bars:
        bar = bars.add_task(what, total=len(run.rounds()))
        yield lambda _: bars.update(bar, advance=1)


def thresholds_line(thresholds: Mapping[str, float | None]) -> str:
    """Return the known likelihood thresholds of each kind, in nats per token."""
    known = [f"{kind} {value:.2f}" for kind, value in thresholds.items() if value is not None]
    return f"least likelihood, in nats per token: {', '.join(known) or 'none yet'}"


def number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


class Cut:
    """A text in a table's cell, on two lines at most: `audit show` has all of it."""

    _LINES = 2

    def __init__(self, text: str) -> None:
        self._text = " ".join(plain(text).split())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        width = options.max_width
        lines = Text(self._text).wrap(console, width, overflow="fold")
        shown = lines[: self._LINES]
        for line in shown:
            line.rstrip()
        if len(lines) > self._LINES:
            shown[-1].truncate(width - 1)
            shown[-1].append("…")
        yield Text("\n").join(shown)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement
        from rich.text import Text

        return Measurement.get(console, options, Text(self._text))


def deep_plain(value: Any) -> Any:
    """Turn NaN, which JSON lacks, into null, at any depth."""
    if isinstance(value, Mapping):
        return {key: deep_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [deep_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def plain_row(row: dict[str, Any]) -> dict[str, Any]:
    """Turn NaN, which JSON lacks, into null."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in row.items()
    }
