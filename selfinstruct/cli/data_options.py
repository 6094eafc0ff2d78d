"""The options of commands that read data: its format, its columns, and what to do with bad rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from selfinstruct.cli.console import stderr
from selfinstruct.cli.help import default

if TYPE_CHECKING:
    from selfinstruct.inputs.read_data import ReadAs
    from selfinstruct.train.data.labelled import LabelledSplit
    from selfinstruct.train.data.preference_rows import PreferenceSplit
    from selfinstruct.train.data.prompts import PromptSplit
    from selfinstruct.train.data.scored import ScoredSplit
    from selfinstruct.train.recipe import Source

SplitT = TypeVar("SplitT", bound="PreferenceSplit | LabelledSplit | PromptSplit | ScoredSplit")

READING = "How data is read"
# What may be named wherever data is read.
DATA = (
    "a run, a folder of `prefer` or `best-of`, a file in any known format, or OWNER/NAME on the hub"
)

MixtureOption = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="DATA[@WEIGHT]",
        help=f"What to train on: {DATA}. May be repeated; @2 uses its rows twice per epoch.",
    ),
]
PairsOption = Annotated[
    list[str],
    typer.Option(
        "--data",
        metavar="DATA[@WEIGHT]",
        help="Pairs: a folder of `prefer`, or pairs in any known format. May be repeated; @2 "
        "uses its pairs twice per epoch.",
    ),
]
ValidationDataOption = Annotated[
    str | None,
    typer.Option(
        "--validation-data",
        metavar="DATA",
        help="Validate on this data instead of held-out rows.",
        rich_help_panel=READING,
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Format of the rows, such as alpaca." + default("recognised from the columns"),
        rich_help_panel=READING,
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="OURS=THEIRS,…",
        help="If columns have other names: instruction=query,output=reply. `system=` ignores "
        "that column.",
        rich_help_panel=READING,
    ),
]
SkipInvalidOption = Annotated[
    bool,
    typer.Option(
        "--skip-invalid",
        help="Leave out rows that cannot be used, and count them.",
        rich_help_panel=READING,
    ),
]


# Share of the prompts of a file to hold out, unless another is given.
_HELD_OUT = 0.2


def mixed_pairs(
    data: Sequence[str],
    read: Callable[..., SplitT],
    held_out: float | None,
    validation_data: str | None,
    seed: int,
    mix: Callable[..., SplitT] | None = None,
) -> tuple[SplitT, Source]:
    """Read pairs of several data sets, say what each gave, and return them and their names.

    Args:
        data: the values of `--data`.
        read: reads one of them, with a share to hold out.
        held_out: that share.
        validation_data: pairs to hold out instead.
        seed: of draws.
        mix: puts the data sets together; by default those of pairs.

    Raises:
        ConfigError: something cannot be read, or too few pairs are left.
    """
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.train.data.mixture import Part, mix_pairs, parse_part, source_line
    from selfinstruct.train.recipe import Source

    if held_out is not None and validation_data is not None:
        raise ConfigError("--validation-data: replaces held-out rows; leave --held-out out")
    share = _HELD_OUT if held_out is None else held_out
    validation = None
    if validation_data is not None:
        validation = read(validation_data, held_out=0.0, option="--validation-data")
    splits = []
    for part in map(parse_part, data):
        split = read(part.data, held_out=0.0 if validation is not None else share)
        splits.append((Part(split.name, part.weight), split))
    together: Callable[..., Any] = mix or mix_pairs
    mixed = together(splits, seed, validation)
    for source in mixed.sources:
        stderr.print(source_line(source), markup=False, highlight=False, soft_wrap=True)
    choices = {} if validation is None else {"held out": f"`{Path(validation.name).name}`"}
    first, *others = (part.data for part, _ in splits)
    return mixed, Source(Path(first), choices, others=tuple(others))


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
