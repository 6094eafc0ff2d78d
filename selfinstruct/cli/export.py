"""`selfinstruct export`: a run's tasks as a training file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from selfinstruct.cli.console import stderr


class FormatName(StrEnum):
    """The formats of selfinstruct.export, named here so that --help loads nothing."""

    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt-completion"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    PARQUET = "parquet"


class AnswersName(StrEnum):
    """Whose outputs."""

    OWN = "own"
    TEACHER = "teacher"
    PREFER_TEACHER = "prefer-teacher"


def export(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    format: Annotated[FormatName, typer.Option("--format", help="How a task is written down.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; replaced if it is there.")],
    answers: Annotated[
        AnswersName,
        typer.Option("--answers", help="Whose outputs; teachers' come from `selfinstruct answer`."),
    ] = AnswersName.OWN,
) -> None:
    """Write the accepted tasks of a run as JSON lines or Parquet."""
    from selfinstruct.export import Answers, Format
    from selfinstruct.export import export as export_run
    from selfinstruct.store import open_run

    rows = export_run(open_run(run), Format(format), out, Answers(answers))
    kind = "parquet" if format is FormatName.PARQUET else "json"
    stderr.print(f"{rows} rows in {out}; read them with:", highlight=False, soft_wrap=True)
    stderr.print(
        f'  datasets.load_dataset("{kind}", data_files="{out}")',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
