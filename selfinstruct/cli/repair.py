"""`selfinstruct audit repair`: move what is damaged in a run aside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import stdout
from selfinstruct.cli.decide import AsJson, RunFolder
from selfinstruct.common.controls import json_text

if TYPE_CHECKING:
    from selfinstruct.audit.repair import Repair


def repair(
    run: RunFolder,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be moved, and change nothing.")
    ] = False,
    accept_config: Annotated[
        bool,
        typer.Option(
            "--accept-config", help="Accept run.yaml as it is now, although it was edited."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Move damaged commits, lines and files aside, into the run's folder `damaged`.

    Nothing is deleted. If a round is damaged, all later rounds are moved too; `generate --resume`
    generates them again.

    Example:
        selfinstruct audit repair outputs/first --dry-run
    """
    from selfinstruct.audit.repair import accept_config as accept
    from selfinstruct.audit.repair import plan_repair
    from selfinstruct.audit.repair import repair as repair_run
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.store import open_run

    if accept_config and dry_run:
        raise ConfigError("--accept-config changes run.yaml; leave out --dry-run")
    if accept_config:
        kept = accept(run)
        if not as_json:
            _say(f"run.yaml is taken as it is; a copy lies in {kept}")
    opened = open_run(run)
    done = plan_repair(opened) if dry_run else repair_run(opened)
    if as_json:
        print(json_text(_plain(done, run), indent=2))
        return
    for problem in done.problems:
        _say(str(problem))
    if not done.problems:
        _say("nothing is damaged")
        return
    verb = "would be moved" if dry_run else "moved"
    for path in done.moved:
        _say(f"{verb}: {path.relative_to(run)}")
    for path in done.lines:
        _say(f"{'would be mended' if dry_run else 'mended'}: {path.name}")
    if done.rounds:
        first, last = done.rounds[0], done.rounds[-1]
        span = f"round {first}" if first == last else f"rounds {first} to {last}"
        _say(f"without {span}; write them again with: selfinstruct generate --out {run} --resume")
    if dry_run:
        _say(f"do it with: selfinstruct audit repair {run}")
    else:
        _say(f"all that was moved lies in {done.folder}; the rest is whole")


def _plain(done: Repair, run: Path) -> dict[str, object]:
    return {
        "problems": [str(problem) for problem in done.problems],
        "moved": [str(path.relative_to(run)) for path in done.moved],
        "mended": [path.name for path in done.lines],
        "rounds": done.rounds,
        "folder": str(done.folder) if done.folder else None,
    }


def _say(text: str) -> None:
    stdout.print(text, markup=False, highlight=False, soft_wrap=True)
