"""Preferences to learn from: reads them from a folder of `prefer` or a file, and checks them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.paths import user_path
from selfinstruct.common.records import Message
from selfinstruct.dataset.read import read_any
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.own_folders import HELD_OUT, LABELLED, REPORT, SETTINGS, TRAIN, check_own
from selfinstruct.inputs.purposes import DPO, Purpose
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs
from selfinstruct.preferences.pairs import LEAST_PAIRS
from selfinstruct.prompts.chat_template import Tools
from selfinstruct.train.data.turns import answer_of, answerable, turns_of


class Unusable(StrEnum):
    """Why a pair is dropped."""

    SAME = "chosen_is_rejected"
    TIE = "tie"
    EMPTY = "empty"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """A conversation up to its last answer, and a better and a worse one of that answer.

    `weight` is the pair's weight in the loss. All pairs of one prompt have the same `prompt_id`.
    `tools` are the functions that the model may call.
    """

    id: str
    prompt_id: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    weight: float = 1.0
    tools: Tools = ()


@dataclass(frozen=True)
class PreferenceSplit:
    """Pairs to train on, pairs held out (of other prompts), and how many were dropped and why.

    `sources` says what each part of a mixture gave (`mixture.MixedPart`). `name` is that of the
    folder or file, on the hub with its commit.
    """

    train: list[PreferenceRow]
    held_out: list[PreferenceRow]
    dropped: Counter[str] = field(default_factory=Counter)
    sources: tuple[Any, ...] = ()
    name: str = ""


def read_preferences(
    data: str | Path,
    *,
    held_out: float = 0.1,
    reading: ReadAs = AS_IT_IS,
    purpose: Purpose = DPO,
) -> PreferenceSplit:
    """Read pairs to train on, like `read_pairs`.

    Raises:
        ConfigError: there is none, or too few pairs are left. Names the place and what to do.
    """
    return check_split(read_pairs(data, held_out=held_out, reading=reading, purpose=purpose), data)


def read_pairs(
    data: str | Path,
    *,
    held_out: float = 0.1,
    reading: ReadAs = AS_IT_IS,
    purpose: Purpose = DPO,
    option: str = "--data",
) -> PreferenceSplit:
    """Read pairs of a better and a worse answer, in any format that has them.

    Args:
        data: a folder that `prefer` wrote, a file, a folder of data, or a name on the hub.
        held_out: for a file, the share of its prompts to hold out, the last ones.
        reading: how to read a file.
        purpose: of the command.
        option: the option that named it, for messages.

    Raises:
        ConfigError: there is none, a row cannot be used, or labels contradict their own scores.
            Names the place and what to do.
    """
    path = user_path(data, option)
    if is_ours(path):
        parts = [read_any(path / name, option) for name in (TRAIN, HELD_OUT)]
        train, held = (part.converted(purpose, checked) for part in parts)
        name = str(data)
    else:
        file = read_any(data, option, reading)
        train, held = split_prompts(file.converted(purpose, checked), held_out)
        name = file.name
    dropped: Counter[str] = Counter()
    usable = [_usable(part, dropped, data) for part in (train, held)]
    return PreferenceSplit(usable[0], usable[1], dropped, name=name)


def is_ours(path: Path) -> bool:
    """Whether a folder is one that `prefer` wrote.

    Raises:
        ConfigError: it is, and is not finished.
        StoreError: one of its files was changed.
    """
    if not path.is_dir() or not (path / SETTINGS).is_file():
        check_own(path, SETTINGS)  # without it, pairs that are held out would be trained on
        return False
    if not (path / REPORT).is_file():
        raise ConfigError(
            f"{path}: holds no finished preferences; make them with `selfinstruct prefer`, or "
            "continue it with --resume"
        )
    check_own(path, SETTINGS, TRAIN, HELD_OUT, LABELLED)
    return True


def check_split(split: PreferenceSplit, data: str | Path) -> PreferenceSplit:
    """Return the pairs, if there are enough to train on.

    Raises:
        ConfigError: there are too few. Says how many, and why the others were dropped.
    """
    if len(split.train) < LEAST_PAIRS:
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(split.dropped.items()))
        raise ConfigError(
            f"{data}: {len(split.train)} pairs to train on are too few (dropped: "
            f"{dropped or 'nothing'}); give at least {LEAST_PAIRS} whose answers differ and whose "
            "labeller decided"
        )
    return split


def checked(row: DataRow) -> DataRow:
    """Return a row whose prompt and answers a model can learn from.

    Raises:
        BadRowError: an answer has several turns, or no template could show the prompt.
    """
    chosen, rejected = (one_turn(row, name) for name in ("chosen", "rejected"))
    return replace(row, prompt=asked(row), chosen=chosen, rejected=rejected)


def asked(row: DataRow) -> tuple[Message, ...]:
    """Return the turns of a row that are to be answered.

    Raises:
        BadRowError: no template could show them.
    """
    try:
        return answerable(turns_of([dict(turn) for turn in row.prompt]))
    except ValueError as error:
        raise BadRowError(row.where, f'"prompt": {why(error)}', "prompt: its turns") from error


def one_turn(row: DataRow, name: str) -> tuple[Message, ...]:
    """Return an answer of a row, which is one turn of the assistant without calls of tools.

    Raises:
        BadRowError: it is more.
    """
    return (answer_turn(row, name, getattr(row, name) or ()),)


def answer_turn(row: DataRow, name: str, turns: Sequence[Message]) -> Message:
    """Return an answer as one turn, like `one_turn`.

    Raises:
        BadRowError: it is more.
    """
    try:
        text = answer_of(turns_of([dict(turn) for turn in turns]))
    except ValueError as error:
        raise BadRowError(row.where, f'"{name}": {why(error)}', f"{name}: its turns") from error
    return Message(role="assistant", content=text)


def split_prompts(rows: Sequence[DataRow], share: float) -> tuple[list[DataRow], list[DataRow]]:
    """Hold out the rows of the last prompts."""
    groups: dict[str, list[DataRow]] = {}
    for row in rows:
        groups.setdefault(prompt_id(row), []).append(row)
    order = list(groups.values())
    count = math.ceil(share * len(order)) if len(order) > 1 else 0
    cut = len(order) - count
    train, held = order[:cut], order[cut:]
    return [row for group in train for row in group], [row for group in held for row in group]


def _usable(
    rows: Iterable[DataRow], dropped: Counter[str], data: str | Path
) -> list[PreferenceRow]:
    """Drop pairs that teach nothing.

    Raises:
        ConfigError: by its own scores or margin, a pair's rejected answer is better.
    """
    kept, against = [], []
    for number, columns in enumerate(rows):
        row = preference_row(columns, f"{number}")
        margin = _margin(columns.columns)
        if row.chosen.split() == row.rejected.split():
            dropped[str(Unusable.SAME)] += 1
        elif not row.chosen.strip() or not row.rejected.strip():
            dropped[str(Unusable.EMPTY)] += 1
        elif margin == 0:
            dropped[str(Unusable.TIE)] += 1
        else:
            if margin is not None and margin < 0:
                against.append(columns.where)
            kept.append(row)
    if against:
        raise ConfigError(
            f"{data}: in {len(against)} of {len(kept)} pairs the chosen answer is scored below "
            f"the rejected one (the first: {against[0]}); are the labels flipped? Swap them, or "
            "leave the scores out"
        )
    return kept


# The names of the scores of the chosen and the rejected answer in published data.
PAIR_SCORES = (
    ("chosen_score", "rejected_score"),
    ("score_chosen", "score_rejected"),
    ("chosen_rating", "rejected_rating"),
    ("chosen-rating", "rejected-rating"),
)


def _margin(columns: Mapping[str, Any]) -> float | None:
    """Return how much better the labeller scored the chosen answer, if the row says so."""
    for names in PAIR_SCORES:
        chosen, rejected = (number_of(columns.get(name)) for name in names)
        if chosen is not None and rejected is not None:
            return chosen - rejected
    return number_of(columns.get("margin"))


def number_of(value: Any) -> float | None:
    """Return a cell as a finite number, also one of a CSV file; None where it is none."""
    if isinstance(value, str):  # a cell of a CSV file
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def preference_row(row: DataRow, id: str, weight: float = 1.0) -> PreferenceRow:
    """Return a pair of a row that has one."""
    assert row.chosen is not None
    assert row.rejected is not None
    return PreferenceRow(
        id=id,
        prompt_id=prompt_id(row),
        messages=row.prompt,
        chosen=row.chosen[-1]["content"],
        rejected=row.rejected[-1]["content"],
        weight=weight,
        tools=row.tools,
    )


def prompt_id(row: DataRow) -> str:
    """Return what the rows of one prompt have in common: their own id, or the prompt."""
    return str(row.columns.get("prompt_id") or json.dumps(row.prompt, sort_keys=True))
