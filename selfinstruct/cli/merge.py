"""`selfinstruct merge`: several runs as one, without what they repeat of each other."""

from __future__ import annotations

import shlex
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import stderr, stdout


def merge(
    runs: Annotated[list[Path], typer.Argument(help="Folders of the runs, two or more.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the merged run.")],
) -> None:
    """Merge runs into one, and reject tasks that are too similar to earlier ones.

    Example:
        selfinstruct merge outputs/first outputs/second --out outputs/both
    """
    from selfinstruct.cli.bars import Bars
    from selfinstruct.decisions.counts import count
    from selfinstruct.decisions.view import read_view
    from selfinstruct.store import open_run
    from selfinstruct.store.layout import RUN_FILE
    from selfinstruct.verdicts.merge import merge as merge_runs

    opened = [open_run(path) for path in runs]
    for first, second in combinations(opened, 2):
        if (first.path / RUN_FILE).read_bytes() == (second.path / RUN_FILE).read_bytes():
            stderr.print(
                f"{second.path} is the same run as {first.path}; leave one out",
                style="yellow",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    total = sum(len(run.rounds()) for run in opened)
    with Bars(stderr) as bars:
        bar = bars.add_task("merging", total=total)
        merged = merge_runs(opened, out, lambda _: bars.update(bar, advance=1))
    views = [read_view(run) for run in opened]
    before = sum(count(view).tasks for view in views)
    tasks = count(read_view(merged)).tasks
    stdout.print(f"{tasks} tasks of {before} in {len(opened)} runs", highlight=False)
    decisions = sum(len(view.overrides.current) for view in views)
    if decisions:
        stderr.print(
            f"decisions of people ({decisions}) are not taken over: a merged run has none",
            highlight=False,
        )
    command = shlex.join(["selfinstruct", "audit", "summary", str(out)])
    stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
