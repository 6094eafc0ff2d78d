"""The options of commands that read data: its format, its columns, and what to do with bad rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from selfinstruct.inputs.read_data import ReadAs

# What may be named wherever data is read.
DATA = "a run, a folder of ours, a file in any known format, or OWNER/NAME on the hub"

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Format of the rows, such as alpaca (default: recognised from the columns).",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="OURS=THEIRS,…",
        help="Other names of columns: instruction=query,output=reply. `system=` leaves one out.",
    ),
]
SkipInvalidOption = Annotated[
    bool,
    typer.Option("--skip-invalid", help="Leave out rows that cannot be used, and count them."),
]


def reading_of(format: str | None, columns: str | None, skip_invalid: bool) -> ReadAs:
    """Return how data is to be read.

    Raises:
        ConfigError: an option cannot be used.
    """
    from selfinstruct.inputs.formats import format_of
    from selfinstruct.inputs.read_data import ReadAs, parse_columns

    if format is not None:
        format_of(format)
    return ReadAs(format, parse_columns(columns), skip_invalid)
