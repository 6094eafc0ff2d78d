"""Ranked answers to a prompt, expanded to all comparisons that the ranks decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import user_path
from selfinstruct.dataset.read import read_any
from selfinstruct.inputs.data_row import DataRow
from selfinstruct.inputs.own_folders import LABELLED
from selfinstruct.inputs.purposes import REWARD_RANKED
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs
from selfinstruct.inputs.table_rows import parquet_rows
from selfinstruct.train.data.preference_rows import (
    PreferenceRow,
    PreferenceSplit,
    Unusable,
    answer_turn,
    asked,
    check_split,
    is_ours,
    preference_row,
    split_prompts,
)
from selfinstruct.train.data.turns import turns_of

T = TypeVar("T")


def comparisons(answers: Sequence[tuple[T, float]]) -> list[tuple[T, T, float]]:
    """Return every (better, worse, weight) that scores decide.

    The weights of a prompt's comparisons add up to 1. So a prompt with many answers counts no
    more than a prompt with two (Ouyang et al. 2022, arXiv:2203.02155, §3.5 and eq. 1).

    Args:
        answers: each with its score. Higher is better, and equal scores decide nothing.
    """
    pairs = []
    for (first, high), (second, low) in combinations(answers, 2):
        if high > low:
            pairs.append((first, second))
        elif low > high:
            pairs.append((second, first))
    return [(better, worse, 1 / len(pairs)) for better, worse in pairs]


def read_ranked(
    data: str | Path, *, held_out: float = 0.1, reading: ReadAs = AS_IT_IS
) -> PreferenceSplit:
    """Read ranked answers to train on, like `read_comparisons`.

    Raises:
        ConfigError: there is none, or too few comparisons are left.
    """
    return check_split(read_comparisons(data, held_out=held_out, reading=reading), data)


def read_comparisons(
    data: str | Path,
    *,
    held_out: float = 0.1,
    reading: ReadAs = AS_IT_IS,
    option: str = "--data",
) -> PreferenceSplit:
    """Read ranked answers, and expand them into comparisons.

    Args:
        data: a folder that `prefer` wrote, of which all labelled answers are used, or data in a
            format with ranked answers.
        held_out: for a file, the share of its prompts to hold out, the last ones.
        reading: how to read a file.
        option: the option that named it, for messages.

    Raises:
        ConfigError: there is none, or a row cannot be used.
    """
    path = user_path(data, option)
    if is_ours(path):
        if not (path / LABELLED).is_file():
            raise ConfigError(f"{data}: holds no labelled answers; make them with `prefer`")
        return replace(_labelled(_table(path / LABELLED, option)), name=str(data))
    file = read_any(data, option, reading)
    train, held = split_prompts(file.converted(REWARD_RANKED, _checked), held_out)
    dropped: Counter[str] = Counter()
    return PreferenceSplit(_ranked(train, dropped), _ranked(held, dropped), dropped, name=file.name)


def _table(path: Path, option: str) -> list[dict[str, Any]]:
    return [raw.value for raw in parquet_rows(path, option)]


def _checked(row: DataRow) -> DataRow:
    """Return a row whose prompt and answers a model can learn from.

    Raises:
        BadRowError: an answer has several turns, or no template could show the prompt.
    """
    answers = (answer_turn(row, "ranked", turns) for turns in row.ranked or ())
    return replace(row, prompt=asked(row), ranked=tuple((answer,) for answer in answers))


def _labelled(rows: Sequence[Mapping[str, Any]]) -> PreferenceSplit:
    prompts: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        prompts.setdefault(row["prompt_id"], []).append(row)
    train: list[PreferenceRow] = []
    held: list[PreferenceRow] = []
    for prompt_id, own in prompts.items():
        scored = [(row["text"], row["score"]) for row in own if row["usable"]]
        messages = turns_of(own[0]["prompt"])
        (held if own[0]["held_out"] else train).extend(
            PreferenceRow(ids.example(prompt_id, n), prompt_id, messages, better, worse, weight)
            for n, (better, worse, weight) in enumerate(comparisons(scored))
        )
    return PreferenceSplit(train, held)


def _ranked(rows: Sequence[DataRow], dropped: Counter[str]) -> list[PreferenceRow]:
    pairs = []
    for number, row in enumerate(rows):
        answers = row.ranked or ()
        texts = [" ".join(answer[-1]["content"].split()) for answer in answers]
        # An empty answer teaches nothing, and a repeated one keeps its first place.
        kept = [
            answer
            for place, answer in enumerate(answers)
            if texts[place] and texts.index(texts[place]) == place
        ]
        dropped[str(Unusable.SAME)] += len(answers) - len(kept)
        scored = [(answer, -float(place)) for place, answer in enumerate(kept)]
        for n, (better, worse, weight) in enumerate(comparisons(scored)):
            pair = replace(row, chosen=better, rejected=worse)
            pairs.append(preference_row(pair, ids.example(str(number), n), weight))
    return pairs
