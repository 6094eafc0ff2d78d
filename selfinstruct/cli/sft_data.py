"""The rows that `selfinstruct train sft` learns: reads its data, and says what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from selfinstruct.cli.console import stderr

if TYPE_CHECKING:
    from selfinstruct.cli.training_options import Reading
    from selfinstruct.dataset.rows import Answers
    from selfinstruct.train.data.mixture import Part
    from selfinstruct.train.data.rows import Split, TrainData
    from selfinstruct.train.data.turns import TrainRow

    Mixture = list[tuple[Part, TrainData]]

HELD_OUT = 0.1
"""Share of the rows to hold out, unless another is given."""
# Rows to show of those that repeat tasks of an evaluation.
_SHOWN = 10


class Field(StrEnum):
    """What is learnt of a row."""

    ANSWER = "answer"
    CHOSEN = "chosen"


def sft_mixture(
    data: Sequence[str], reading: Reading, answers: Answers, *, seeds: bool
) -> tuple[Mixture, list[TrainRow] | None]:
    """Read the data sets; return them with their weights, and rows to validate with, if given.

    Raises:
        ConfigError: something cannot be read, or options contradict each other.
    """
    from selfinstruct.train.data.rows import read_rows

    read = partial(read_rows, reading=reading.rows())
    return _mixture(data, partial(read, answers=answers), seeds=seeds), _validation(reading)


def chosen_mixture(
    data: Sequence[str], reading: Reading, share: float
) -> tuple[Mixture, list[TrainRow]]:
    """Read the chosen answers of pairs; return those to learn, and those to validate with.

    Args:
        data: the values of `--data`.
        reading: how they are read.
        share: of a file's prompts to hold out, unless other data validates.

    Raises:
        ConfigError: something cannot be read.
    """
    from selfinstruct.train.data.chosen import read_chosen
    from selfinstruct.train.data.mixture import Part, parse_part

    validation = _validation(reading)
    mixture, held = [], []
    for part in map(parse_part, data):
        held_out = share if validation is None else 0.0
        rows, apart = read_chosen(part.data, held_out=held_out, reading=reading.rows())
        mixture.append((Part(rows.name, part.weight), rows))
        held += apart
    return mixture, held if validation is None else validation


def print_split(split: Split) -> None:
    """Say what each part of a mixture gave, and which rows are in neither part."""
    from selfinstruct.train.data.mixture import source_line

    for source in split.sources:
        stderr.print(source_line(source), markup=False, highlight=False, soft_wrap=True)
    if split.near:
        stderr.print(
            f"{len(split.near)} of the last rows are near neighbours of training rows: "
            "in neither part",
            highlight=False,
        )


def _validation(reading: Reading) -> list[TrainRow] | None:
    from selfinstruct.train.data.rows import read_rows

    data = reading.validation_data
    if data is None:
        return None
    return read_rows(data, reading=reading.rows(), option="--validation-data").rows


def _mixture(data: Sequence[str], read: Callable[..., TrainData], *, seeds: bool) -> Mixture:
    """Read the data sets, each with its weight and its full name.

    Seed tasks are those of the runs among them; without a run, `read` refuses them.
    """
    from selfinstruct.store import run_exists
    from selfinstruct.train.data.mixture import Part, parse_part

    parts = [parse_part(text) for text in data]
    is_run = [run_exists(Path(part.data)) for part in parts]
    mixture = []
    for part, own in zip(parts, is_run, strict=True):
        rows = read(part.data, with_seeds=seeds and (own or not any(is_run)))
        mixture.append((Part(rows.name, part.weight), rows))
    return mixture


def without_copies(mixture: Mixture, file: str) -> Mixture:
    """Leave out rows that repeat tasks of an evaluation, and say which."""
    from selfinstruct.common.errors import ConfigError
    from selfinstruct.train.data.decontaminate import decontaminate, read_avoided

    texts = read_avoided(file)
    cleaned = [(part, data, *decontaminate(data.rows, texts, 0.7)) for part, data in mixture]
    removed = [copy for *_, copies in cleaned for copy in copies]
    rows = sum(len(data.rows) for _, data in mixture)
    stderr.print(
        f"{len(removed)} of {rows} rows repeat tasks of {file} and are left out"
        f"{f', the first {_SHOWN} of them' if len(removed) > _SHOWN else ''}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for copy in removed[:_SHOWN]:
        row = {"row": copy.row.id, "how": copy.how, "instruction": copy.row.instruction}
        stderr.print(f"  {json.dumps(row)}", markup=False, highlight=False, soft_wrap=True)
    if len(removed) == rows:
        raise ConfigError(
            f"{file}: every row repeats one of its tasks; nothing is left to train on"
        )
    return [(part, replace(data, rows=kept)) for part, data, kept, _ in cleaned]
