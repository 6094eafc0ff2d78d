"""`selfinstruct merge`: several runs as one, without what they repeat of each other."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import stderr, stdout


def merge(
    runs: Annotated[list[Path], typer.Argument(help="Folders of the runs, two or more.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the merged run.")],
) -> None:
    """Join runs under one novelty index; the result is a run like any other."""
    from rich.progress import track

    from selfinstruct.merge import merge as merge_runs
    from selfinstruct.store import open_run

    opened = [open_run(path) for path in runs]
    total = sum(len(run.rounds()) for run in opened)
    steps = iter(track(range(total), "merging", console=stderr, transient=True))
    merged = merge_runs(opened, out, lambda _: next(steps, None))
    for _ in steps:
        pass
    infos = [merged.info(number) for number in merged.rounds()]
    before = sum(run.info(n)["tasks"] for run in opened for n in run.rounds())
    tasks = sum(info["tasks"] for info in infos)
    stdout.print(f"{tasks} tasks of {before} in {len(opened)} runs", highlight=False)
    command = shlex.join(["selfinstruct", "audit", "summary", str(out)])
    stderr.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
