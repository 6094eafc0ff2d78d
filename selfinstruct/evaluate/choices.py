"""Rows to rank: questions with choices, and pairs of a better and a worse answer."""

from __future__ import annotations

from pathlib import Path

from selfinstruct.common.paths import shipped_file
from selfinstruct.common.records import Message
from selfinstruct.dataset.read import read_any
from selfinstruct.evaluate.rankings import Ranked
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.purposes import EVALUATE_CHOICES, EVALUATE_PAIRS
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs

SHIPPED = "shipped"
"""The value of `--choices` for the questions that come with the project."""


def shipped_choices() -> Path:
    """Return the questions with choices that come with the project."""
    return shipped_file("multiple_choice.jsonl")


def read_choices(path: str | Path, reading: ReadAs = AS_IT_IS) -> list[Ranked]:
    """Read questions with choices, or texts with endings.

    Args:
        path: data in any format with choices, or `shipped`.
        reading: how to read it.

    Raises:
        ConfigError: names file, line, field and fix.
    """
    if path == SHIPPED:
        path, reading = shipped_choices(), AS_IT_IS

    def ranked(row: DataRow) -> Ranked:
        assert row.choices is not None
        assert row.right is not None
        return Ranked(row.id, row.prompt, row.choices, row.right, row.continues)

    return read_any(path, "--choices", reading).converted(EVALUATE_CHOICES, ranked)


def read_ranked_pairs(path: str | Path, reading: ReadAs = AS_IT_IS) -> list[Ranked]:
    """Read pairs: the chosen answer is the right one of two.

    Raises:
        ConfigError: names file, line, field and fix.
    """
    return read_any(path, "--pairs", reading).converted(EVALUATE_PAIRS, _ranked_pair)


def _ranked_pair(row: DataRow) -> Ranked:
    chosen, rejected = (_text(row, field) for field in ("chosen", "rejected"))
    if chosen == rejected:
        raise BadRowError(
            row.where,
            '"chosen" and "rejected" are the same; correct one, or drop the row',
            "both answers are the same",
        )
    return Ranked(row.id, row.prompt, (chosen, rejected), 0)


def _text(row: DataRow, field: str) -> str:
    turns: tuple[Message, ...] = getattr(row, field)
    if len(turns) != 1:
        raise BadRowError(
            row.where,
            f'"{field}" has turns of tools, which evaluate --pairs cannot score; drop the row',
            f"{field}: turns of tools",
        )
    text = turns[0]["content"].strip()
    if not text:
        raise BadRowError(row.where, f'"{field}" is empty; give a text', f"{field}: empty")
    return text
