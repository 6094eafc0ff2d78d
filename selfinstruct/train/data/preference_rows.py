"""Preferences to learn from: reads them from a folder of `prefer` or a file, and checks them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.jsonlines import read_objects
from selfinstruct.preferences.folder import HELD_OUT, REPORT, TRAIN
from selfinstruct.preferences.pairs import LEAST_PAIRS


class Unusable(StrEnum):
    """Why a pair is dropped."""

    SAME = "chosen_is_rejected"
    TIE = "tie"
    EMPTY = "empty"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """A conversation that ends with a user's turn, and a better and a worse answer to it.

    `weight` is the pair's weight in the loss. All pairs of one prompt have the same `prompt_id`.
    """

    id: str
    prompt_id: str
    messages: tuple[tuple[str, str], ...]  # (role, content)
    chosen: str
    rejected: str
    weight: float = 1.0


@dataclass(frozen=True)
class PreferenceSplit:
    """Pairs to train on, pairs held out (of other prompts), and how many were dropped and why."""

    train: list[PreferenceRow]
    held_out: list[PreferenceRow]
    dropped: Counter[str] = field(default_factory=Counter)


def read_preferences(data: Path, *, held_out: float = 0.1) -> PreferenceSplit:
    """Read pairs in TRL's explicit preference format.

    Args:
        data: a folder that `prefer` wrote, or a Parquet or JSON lines file with `prompt`,
            `chosen` and `rejected`, as texts or as conversations.
        held_out: for a file, the share of its prompts to hold out, the last ones.

    Raises:
        ConfigError: there is none, a row cannot be used, labels contradict their own scores, or
            too few pairs are left. Names the place and what to do.
    """
    if data.is_dir():
        train, held = _folder_rows(data)
    else:
        train, held = split_prompts(_file_rows(data), held_out)
    dropped: Counter[str] = Counter()
    usable = [_usable(part, dropped, data) for part in (train, held)]
    return check_split(PreferenceSplit(usable[0], usable[1], dropped), data)


def check_split(split: PreferenceSplit, data: Path) -> PreferenceSplit:
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


def _folder_rows(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if not (folder / REPORT).is_file():
        raise ConfigError(
            f"{folder}: holds no finished preferences; make them with `selfinstruct prefer`, or "
            "continue it with --resume"
        )
    return read_table(folder / TRAIN), read_table(folder / HELD_OUT)


def _file_rows(path: Path) -> list[dict[str, Any]]:
    rows = read_table(path) if path.suffix.lower() == ".parquet" else read_lines(path)
    if not rows:
        raise ConfigError(f"{path}: holds no pair; give one {{prompt, chosen, rejected}} a line")
    return rows


def read_table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file. Each names its place under `where`.

    Raises:
        ConfigError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: cannot be read ({why(error)}); check --data") from error
    return [{**row, "where": f"{path}: row {number}"} for number, row in enumerate(rows, 1)]


def read_lines(path: Path, option: str = "--data") -> list[dict[str, Any]]:
    """Return the objects of JSON lines. Each names its place under `where`.

    Raises:
        ConfigError: the file or a line cannot be read.
    """
    return [{**row, "where": f"{path}:{number}"} for number, row in read_objects(path, option)]


def split_prompts(
    rows: Sequence[dict[str, Any]], share: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Hold out the rows of the last prompts."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_prompt_id(row), []).append(row)
    order = list(groups.values())
    count = math.ceil(share * len(order)) if len(order) > 1 else 0
    cut = len(order) - count
    train, held = order[:cut], order[cut:]
    return [row for group in train for row in group], [row for group in held for row in group]


def _usable(
    rows: Iterable[Mapping[str, Any]], dropped: Counter[str], data: Path
) -> list[PreferenceRow]:
    """Drop pairs that teach nothing.

    Raises:
        ConfigError: by its own scores or margin, a pair's rejected answer is better.
    """
    kept, against = [], []
    for number, columns in enumerate(rows):
        row = preference_row(columns, f"{number}")
        margin = _margin(columns)
        if row.chosen.split() == row.rejected.split():
            dropped[str(Unusable.SAME)] += 1
        elif not row.chosen.strip() or not row.rejected.strip():
            dropped[str(Unusable.EMPTY)] += 1
        elif margin == 0:
            dropped[str(Unusable.TIE)] += 1
        else:
            if margin is not None and margin < 0:
                against.append(str(columns["where"]))
            kept.append(row)
    if against:
        raise ConfigError(
            f"{data}: in {len(against)} of {len(kept)} pairs the chosen answer is scored below "
            f"the rejected one (the first: {against[0]}); are the labels flipped? Swap them, or "
            "leave the scores out"
        )
    return kept


def _margin(row: Mapping[str, Any]) -> float | None:
    """Return how much better the labeller scored the chosen answer, if the row says so."""
    chosen, rejected = _number(row.get("chosen_score")), _number(row.get("rejected_score"))
    if chosen is not None and rejected is not None:
        return chosen - rejected
    return _number(row.get("margin"))


def _number(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def preference_row(row: Mapping[str, Any], id: str, weight: float = 1.0) -> PreferenceRow:
    """Return a pair from its columns.

    Raises:
        ConfigError: a column is missing, or is neither a text nor a conversation.
    """
    where = row["where"]
    messages = _messages(row.get("prompt"), where)
    if messages[-1][0] != "user":
        raise ConfigError(f'{where}: "prompt" ends with no turn of the user; end it with one')
    return PreferenceRow(
        id=id,
        prompt_id=_prompt_id(row),
        messages=messages,
        chosen=answer_text(row.get("chosen"), where, "chosen"),
        rejected=answer_text(row.get("rejected"), where, "rejected"),
        weight=weight,
    )


def _prompt_id(row: Mapping[str, Any]) -> str:
    return str(row.get("prompt_id") or json.dumps(row.get("prompt"), sort_keys=True))


def _messages(prompt: Any, where: str) -> tuple[tuple[str, str], ...]:
    if isinstance(prompt, str) and prompt.strip():
        return (("user", prompt),)
    if isinstance(prompt, list) and prompt and all(_is_turn(turn) for turn in prompt):
        return tuple((turn["role"], turn["content"]) for turn in prompt)
    raise ConfigError(
        f'{where}: "prompt" is {prompt!r:.60}; give a text, or turns of {{"role", "content"}}'
    )


def answer_text(answer: Any, where: str, name: str) -> str:
    """Return an answer, which is a text or one turn of the assistant.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(answer, str):
        return answer
    if (
        isinstance(answer, list)
        and len(answer) == 1
        and _is_turn(answer[0])
        and answer[0]["role"] == "assistant"
    ):
        return str(answer[0]["content"])
    raise ConfigError(
        f'{where}: "{name}" is {answer!r:.60}; give a text, or one turn of the assistant'
    )


def _is_turn(turn: Any) -> bool:
    return (
        isinstance(turn, dict)
        and isinstance(turn.get("role"), str)
        and isinstance(turn.get("content"), str)
    )
