"""`selfinstruct audit sample|label`: draw candidates and rate them, blind, in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import plain, stderr, stdout
from selfinstruct.cli.decide import AsJson, RunFolder, login
from selfinstruct.cli.help import default

if TYPE_CHECKING:
    from selfinstruct.audit.rating import RaterProgress
    from selfinstruct.audit.sample import BlindText
    from selfinstruct.store import Run


class Sampled(StrEnum):
    """Which candidates to draw."""

    INSTRUCTIONS = "instructions"
    INSTANCES = "instances"
    BOTH = "both"


def sample(
    run: RunFolder,
    per_reason: Annotated[
        int,
        typer.Option("--per-reason", min=1, help="Candidates to draw per outcome."),
    ] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Random seed of the draw.")] = 0,
    stage: Annotated[
        Sampled, typer.Option("--stage", help="Kind of candidate: instructions, instances or both.")
    ] = Sampled.INSTRUCTIONS,
    as_json: AsJson = False,
) -> None:
    """Draw a random sample from each outcome, to rate with `audit label`.

    The outcomes are: accepted, and each reason for a rejection. A larger sample with the same
    seed contains the smaller one, so earlier ratings still count.

    Example:
        selfinstruct audit sample outputs/first --per-reason 20
    """
    from selfinstruct.audit.sample import draw_sample, sample_path
    from selfinstruct.store import open_run

    opened = open_run(run)
    tables = ("instructions", "instances") if stage is Sampled.BOTH else (str(stage),)
    drawn = draw_sample(opened, per_reason, seed, tables)
    if as_json:
        print(sample_path(opened, drawn.number).read_text(encoding="utf-8"), end="")
        return
    from rich.table import Table

    table = Table(title=f"sample {drawn.number}", title_justify="left", show_footer=True)
    table.add_column("outcome", footer="all")
    table.add_column("drawn", justify="right", footer=str(len(drawn.ids)))
    table.add_column("of", justify="right", footer=str(sum(one.size for one in drawn.strata)))
    for one in drawn.strata:
        table.add_row(f"{one.table}: {one.outcome}", str(len(one.drawn)), str(one.size))
    stdout.print(table)
    _say(f"  selfinstruct audit label {run}")


def label(
    run: RunFolder,
    rater: Annotated[
        str | None, typer.Option("--rater", help="Name of the rater." + default("the login name"))
    ] = None,
) -> None:
    """Rate the sample: texts in mixed order, without their verdicts.

    Keys: a is good, b has a small flaw, c a real flaw, d is invalid; s skips for now, u undoes the
    last rating, q quits. Each rating is saved at once. Several people can rate the same sample,
    each under their own name.

    Example:
        selfinstruct audit label outputs/first --rater ana
    """
    from selfinstruct.audit.rating import needed_sample, rater_progress
    from selfinstruct.audit.sample import blind_texts
    from selfinstruct.decisions.labels import read_labels
    from selfinstruct.store import open_run

    opened, name = open_run(run), rater or login()
    drawn = needed_sample(opened)
    texts = {one.id: one for one in blind_texts(opened, drawn.ids)}
    skipped: list[str] = []
    _print_scale()
    keys = _keys()
    while True:
        now = rater_progress(drawn, read_labels(opened), name, skipped)
        if now.next_id is None:
            break
        _print_text(texts[now.next_id], now)
        key = next(keys, "q")
        if key == "q":
            break
        if key == "s":
            skipped.append(now.next_id)
        elif key in "abcdu" and key:
            _act(opened, key, now.next_id, name)
        else:
            _say(f"{plain(key)!r} is not a key here: a b c d, s skip, u undo, q quit")
    left = now.total - now.rated
    done = "all are rated" if not left else f"{left} left; continue with the same command"
    _say(f"{now.rated} of {now.total} rated by {plain(name)}, {done}")
    if now.rated:
        _say(f"  selfinstruct audit summary {run}")


def _act(run: Run, key: str, id: str, rater: str) -> None:
    """Rate, or take the last rating back."""
    from selfinstruct.audit.rating import rate, undo_rating
    from selfinstruct.decisions.labels import Rating

    if key != "u":
        rate(run, id, Rating(key.upper()), rater)
        return
    taken = undo_rating(run, rater)
    _say(f"removed the rating {taken.rating}" if taken else "there is no rating to undo")


def _keys() -> Iterator[str]:
    """Yield keys as they are pressed, or the characters of a pipe or file."""
    if sys.stdin.isatty():
        while True:
            yield typer.getchar().lower()
    for line in sys.stdin:
        yield from line.lower().replace("\n", "")


def _print_scale() -> None:
    from selfinstruct.decisions.labels import RATING_HELP

    for rating, meaning in RATING_HELP.items():
        _say(f"  {rating.lower()}  {meaning}")
    _say("  s  skip for now    u  take the last one back    q  quit")


def _print_text(text: BlindText, now: RaterProgress) -> None:
    from rich.panel import Panel
    from rich.text import Text

    shown = Text(plain(text.instruction) or "(nothing)")
    for title, part in (("input", text.input), ("output", text.output)):
        if part is not None:
            shown.append(f"\n\n{title}\n", style="dim")
            shown.append(plain(part) or "(nothing)")
    what = text.table.removesuffix("s")
    stdout.print(Panel(shown, title=f"{what}, {now.rated + 1} of {now.total}", title_align="left"))


def _say(text: str) -> None:
    stderr.print(text, markup=False, highlight=False, soft_wrap=True)
