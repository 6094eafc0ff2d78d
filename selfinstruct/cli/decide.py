"""`selfinstruct audit restore|drop|edit|undo`: a person's decisions about candidates."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfinstruct.cli.console import plain, stderr, stdout
from selfinstruct.cli.help import default
from selfinstruct.common.controls import json_text

if TYPE_CHECKING:
    from selfinstruct.decisions.overrides import Override
    from selfinstruct.store import Run

RunFolder = Annotated[Path, typer.Argument(help="Folder of the run.")]
CandidateId = Annotated[
    str,
    typer.Argument(
        help="Id of the candidate: r00003-p012-i04 is an instruction, r00003-p012-i04-n0 an "
        "instance."
    ),
]
Note = Annotated[str, typer.Option("--note", help="Reason, kept with the decision.")]
By = Annotated[
    str | None,
    typer.Option("--by", help="Name of the person who decides." + default("the login name")),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def restore(
    run: RunFolder, id: CandidateId, note: Note = "", by: By = None, as_json: AsJson = False
) -> None:
    """Put a rejected candidate into the dataset, as the model wrote it.

    If a restored instruction has no instance (input and output) yet, run `selfinstruct complete`,
    or type one with `audit edit --output`. Restoring an instance restores its instruction too.

    Example:
        selfinstruct audit restore outputs/first r00000-p000-i00 --note "a good task"
    """
    from selfinstruct.decisions import decide as decisions
    from selfinstruct.store import open_run

    opened = open_run(run)
    _tell(opened, decisions.restore(opened, id, by=by or login(), note=note), as_json=as_json)


def drop(
    run: RunFolder, id: CandidateId, note: Note = "", by: By = None, as_json: AsJson = False
) -> None:
    """Take a candidate out of the dataset; dropping an instruction drops its instances.

    If you drop a turn of a conversation, the conversation is cut before the exchange that contains
    it.

    Example:
        selfinstruct audit drop outputs/first r00000-p000-i00-n0 --note "wrong answer"
    """
    from selfinstruct.decisions import decide as decisions
    from selfinstruct.store import open_run

    opened = open_run(run)
    _tell(opened, decisions.drop(opened, id, by=by or login(), note=note), as_json=as_json)


def edit(
    run: RunFolder,
    id: CandidateId,
    text: Annotated[str | None, typer.Option("--text", help="Text of an instruction.")] = None,
    input: Annotated[str | None, typer.Option("--input", help="Input; needs --output.")] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", help="Output; for an instruction, replaces all instances."),
    ] = None,
    note: Note = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Replace a candidate's text in the dataset; the run keeps the model's text.

    An edited candidate is in the dataset, whatever its verdict was.

    Example:
        selfinstruct audit edit outputs/first r00000-p000-i00 --text "Name a bird."
    """
    from selfinstruct.decisions import decide as decisions
    from selfinstruct.store import open_run

    opened = open_run(run)
    words = {"text": text, "input": input, "output": output}
    entry = decisions.edit(opened, id, decisions.Words(**words), by=by or login(), note=note)
    _tell(opened, entry, as_json=as_json)


def undo(
    run: RunFolder, id: CandidateId, note: Note = "", by: By = None, as_json: AsJson = False
) -> None:
    """Take back the last decision about a candidate; the one before it counts again.

    Example:
        selfinstruct audit undo outputs/first r00000-p000-i00
    """
    from selfinstruct.decisions import decide as decisions
    from selfinstruct.store import open_run

    opened = open_run(run)
    _tell(opened, decisions.undo(opened, id, by=by or login(), note=note), as_json=as_json)


def login() -> str:
    """Return the login name; an empty text if the system has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _tell(run: Run, entry: Override, *, as_json: bool) -> None:
    """Print the decision, and how the candidate stands now."""
    from selfinstruct.common import ids
    from selfinstruct.decisions.decide_chats import chat_outcome, standing_chat
    from selfinstruct.decisions.lookup import find, outcome_of
    from selfinstruct.decisions.overrides import read_overrides
    from selfinstruct.decisions.standing import PENDING

    overrides = read_overrides(run)
    if ids.chat_of(entry.id):
        outcome = chat_outcome(standing_chat(run, entry.id, overrides), entry.id)
    else:
        outcome = outcome_of(find(run, entry.id), overrides)
    if as_json:
        print(json_text({**asdict(entry), "outcome": outcome}))
        return
    done = {"restore": "restored", "drop": "dropped", "edit": "edited", "undo": "taken back"}
    what = f"{entry.id}: {done[entry.action]} by {plain(entry.by)}; now {outcome}"
    stdout.print(what, markup=False, highlight=False, soft_wrap=True)
    if outcome == PENDING:
        hint = f"its instances: selfinstruct complete {run.path}, or audit edit with --output"
        stderr.print(hint, markup=False, highlight=False, soft_wrap=True)
