"""`selfinstruct compact`: the rounds of a run in fewer, larger files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import stderr, stdout


def compact(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
) -> None:
    """Put the rounds of a run into fewer, larger files, so that audits and exports are faster.

    Rounds, ids, exports and `--resume` stay as they are. This happens automatically after every 500
    rounds. Versions of selfinstruct without this command cannot read a compacted run.

    Example:
        selfinstruct compact outputs/first
    """
    from rich.progress import track

    from selfinstruct import api
    from selfinstruct.store import open_run

    rounds = len(open_run(run).rounds())
    steps = iter(track(range(rounds), "compacting", console=stderr, transient=True))
    done = api.compact(run, lambda _: next(steps, None))
    for _ in steps:
        pass
    if not done.rounds:
        stdout.print("there is nothing to compact", highlight=False)
    else:
        files = "1 pack" if done.packs == 1 else f"{done.packs} packs"
        stdout.print(f"{done.rounds} rounds in {files}", highlight=False)
    if done.waiting:
        stderr.print(
            "another process reads the run: the files that are replaced stay until the next "
            "compact or --resume",
            highlight=False,
            soft_wrap=True,
        )
