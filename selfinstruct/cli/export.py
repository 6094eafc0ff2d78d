"""`selfinstruct export`: a run's tasks as a training file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import stderr, stdout
from selfinstruct.cli.help import default
from selfinstruct.dataset.formats import Format


class AnswersName(StrEnum):
    """The answers of selfinstruct.dataset.rows, named here so that --help loads nothing."""

    OWN = "own"
    TEACHER = "teacher"
    PREFER_TEACHER = "prefer-teacher"


def export(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    format: Annotated[
        Format,
        typer.Option("--format", metavar="NAME", help=f"Format of the file: {', '.join(Format)}."),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="File to write; an earlier export is replaced.")
    ],
    answers: Annotated[
        AnswersName,
        typer.Option(
            "--answers",
            metavar="WHOSE",
            help=f"Whose outputs: {', '.join(AnswersName)}; `answer` writes a teacher's.",
        ),
    ] = AnswersName.OWN,
    reasoning: Annotated[
        bool,
        typer.Option("--reasoning", help="Keep what the model thought before its answers."),
    ] = False,
    conversations: Annotated[
        bool | None,
        typer.Option(
            "--conversations/--no-conversations",
            help="Write whole conversations (`converse`) in the place of the tasks that open them."
            + default("where the format can"),
        ),
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Write a dataset card, README.md, beside the file.")
    ] = False,
    push: Annotated[
        str | None,
        typer.Option("--push", metavar="REPO", help="Upload file and card to the hub, as REPO."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="With --push: make a new repository private.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that no export wrote, or a README.md.")
    ] = False,
) -> None:
    """Write the accepted tasks of a run as JSON lines or Parquet.

    Example:
        selfinstruct export outputs/first --format messages --out tasks.jsonl
    """
    from selfinstruct import api

    done = api.export(
        run,
        out,
        format=str(format),
        answers=str(answers),
        reasoning=reasoning,
        conversations=conversations,
        card=card,
        push=push,
        private=private,
        force=force,
    )
    kind = "json" if format.suffix == "jsonl" else format.suffix
    if done.replaced is not None:
        _say(f"replaced {done.path}: {done.replaced}")
    if answers is AnswersName.PREFER_TEACHER:
        own = done.rows - done.teachers
        _say(f"{done.teachers} outputs are the teacher's, {own} are the run's own")
    _say(f"{done.rows} rows in {done.path}; read them with:")
    _say(f'  datasets.load_dataset("{kind}", data_files="{done.path}")')
    if done.conversations:
        _say(f"{done.conversations} of the rows are conversations")
    if done.shortened:
        _say(
            f"{done.shortened} conversations are left at their first exchange: {format} holds no "
            "more; --format messages or sharegpt does"
        )
    if done.card is not None:
        _say(f"card in {done.card}")
    if done.url is not None:
        stdout.print(done.url, markup=False, highlight=False, soft_wrap=True)


def _say(text: str) -> None:
    stderr.print(text, markup=False, highlight=False, soft_wrap=True)
