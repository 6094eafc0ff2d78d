"""The tables of `align` on a terminal: all models in one, and the curve of the iterations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfinstruct.cli.console import plain, stderr, stdout


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a row a model: ROUGE-L, how far it is above others, its tax, its minutes."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="all models, with paired 95 % intervals", title_justify="left")
    table.add_column("")
    columns = ("ROUGE-L", "above base", "above sft", "tax, nats per word", "wins, %", "minutes")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        mean = row["rouge_l"]
        table.add_row(
            Text(plain(row["model"])),
            "–" if mean is None else f"{100 * mean:.1f}",
            between(row["above_base"], scale=100),
            between(row["above_sft"], scale=100),
            between(row["tax"], digits=3),
            between(row["won_against_base"], scale=100, key="rate"),
            f"{row['seconds'] / 60:.1f}",
        )
    stdout.print(table)


def print_curve(curve: Mapping[str, Any]) -> None:
    """Print a row an iteration: reward, gold score and divergence of its policy."""
    from rich.table import Table
    from rich.text import Text

    title = f"answers to {curve['prompts']} held-out prompts, by iteration"
    table = Table(title=title, title_justify="left")
    columns = ("", "reward", "since the start", "gold score", "since the start", "KL, nats")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for point in curve["points"]:
        table.add_row(
            Text(plain(point["policy"])),
            shown(point["reward"]),
            between(point["reward_gain"], digits=3, key="mean"),
            shown(point["gold"]),
            between(point["gold_gain"], digits=3, key="mean"),
            shown(point["divergence"], 2),
        )
    stdout.print(table)
    for warned in curve["warnings"]:
        told = f"[yellow]{warned['trouble']}[/]: {warned['found']}"
        stderr.print(told, highlight=False)
        stderr.print(f"  {warned['advice']}", markup=False, highlight=False, soft_wrap=True)


def shown(value: float | None, digits: int = 3) -> str:
    """Return a number, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def between(
    interval: Mapping[str, float | None] | None,
    *,
    scale: float = 1,
    digits: int = 1,
    key: str = "difference",
) -> str:
    """Return a value with its interval, or a dash where there is none."""
    if interval is None or any(value is None for value in interval.values()):
        return "–"
    sign = "" if key == "rate" else "+"
    mean, low, high = (scale * float(interval[name] or 0.0) for name in (key, "low", "high"))
    return f"{mean:{sign}.{digits}f} ({low:{sign}.{digits}f} to {high:{sign}.{digits}f})"
