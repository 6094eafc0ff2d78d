"""The tables of `evaluate` on a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from selfinstruct.cli.console import plain, stdout

if TYPE_CHECKING:
    from selfinstruct.evaluate.evaluation import Evaluation
    from selfinstruct.evaluate.titles import Title


def print_evaluation(evaluation: Evaluation) -> None:
    """Print means, differences with their intervals, and what a judge found."""
    from rich.table import Table
    from rich.text import Text

    from selfinstruct.evaluate.titles import in_order, title_of

    table = Table(title=_asked(evaluation), title_justify="left")
    table.add_column("")
    for name in evaluation.means:
        table.add_column(Text(plain(name)), justify="right")
    for title in in_order(metric for means in evaluation.means.values() for metric in means):
        if title.terminal:
            cells = (_mean(evaluation, name, title) for name in evaluation.means)
            table.add_row(Text(plain(title.terminal)), *cells)
    stdout.print(table)
    if not evaluation.comparisons:
        return
    differences = Table(title="differences, with 95 % intervals", title_justify="left")
    for column in ("", "metric", "difference", "from", "to", "n"):
        differences.add_column(column, justify="left" if column in ("", "metric") else "right")
    for comparison in evaluation.comparisons:
        title = title_of(comparison.metric)
        if title.terminal:
            clear = comparison.low > 0 or comparison.high < 0
            ends = (comparison.difference, comparison.low, comparison.high)
            differences.add_row(
                Text(plain(f"{comparison.a} − {comparison.b}")),
                Text(plain(title.terminal)),
                *(_shown(title, value) for value in ends),
                str(comparison.n),
                style="bold" if clear else "dim",
            )
    stdout.print(differences)
    for comparison in evaluation.comparisons:
        if comparison.mcnemar is not None:
            metric = title_of(comparison.metric).terminal.removesuffix(", %")
            told = f"{comparison.a} − {comparison.b}, {metric}: McNemar's test p = "
            stdout.print(Text(f"{plain(told)}{comparison.mcnemar:.3f}"))
    if evaluation.wins:
        _print_wins(evaluation)


def _asked(evaluation: Evaluation) -> str:
    """Return how much was asked, such as `200 tasks, 50 questions with choices`."""
    settings = evaluation.settings
    counts = (
        (settings["tasks"], "tasks"),
        (settings.get("choices"), "questions with choices"),
        (settings.get("pairs"), "pairs"),
    )
    return ", ".join(f"{count} {what}" for count, what in counts if count)


def _mean(evaluation: Evaluation, model: str, title: Title) -> str:
    """Return a mean with the interval that it may have."""
    text = _shown(title, evaluation.means[model].get(title.name, math.nan))
    interval = evaluation.intervals.get(model, {}).get(title.name)
    if interval is None:
        return text
    return f"{text} ({'–'.join(_shown(title, end) for end in interval)})"


def _print_wins(evaluation: Evaluation) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"judged in pairs by {evaluation.settings['judge']}", title_justify="left")
    table.add_column("", no_wrap=True)
    for column in ("wins, %", "at equal length, %", "ties", "tasks"):
        table.add_column(column, justify="right")
    for win_rate in evaluation.wins:
        on_balance = " on balance" if win_rate.decided == "balance" else ""
        table.add_row(
            Text(plain(f"{win_rate.a} against {win_rate.b}{on_balance}")),
            f"{100 * win_rate.rate:.1f} ({100 * win_rate.low:.1f}–{100 * win_rate.high:.1f})",
            f"{100 * win_rate.at_equal_length:.1f} "
            f"({100 * win_rate.equal_low:.1f}–{100 * win_rate.equal_high:.1f})",
            str(win_rate.ties),
            str(win_rate.n),
        )
    stdout.print(table)
    for rating in evaluation.ratings:
        if rating.strength is None:
            stdout.print("no Bradley–Terry ratings: one group of models never lost to the other")
            break
        shown = f"{rating.strength:+.2f}"
        if rating.low is not None and rating.high is not None:
            shown += f" ({rating.low:+.2f} to {rating.high:+.2f})"
        stdout.print(f"Bradley–Terry {shown} ", Text(plain(rating.model)), highlight=False)


def _shown(title: Title, value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{100 * value if title.percent else value:.{title.digits}f}"
