"""Answers with absolute scores (the data of a regression reward): read in any format, as tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import user_path
from selfinstruct.common.records import Message
from selfinstruct.dataset.read import read_any
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.own_folders import LABELLED
from selfinstruct.inputs.purposes import REWARD_SCORED
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs
from selfinstruct.inputs.table_rows import parquet_rows
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.data.encode_pairs import encode_pairs
from selfinstruct.train.data.mixture import Part, mix_splits
from selfinstruct.train.data.preference_rows import (
    PAIR_SCORES,
    PreferenceRow,
    Unusable,
    answer_turn,
    asked,
    is_ours,
    number_of,
    one_turn,
    prompt_id,
    split_prompts,
)
from selfinstruct.train.data.turns import turns_of
from selfinstruct.train.recipe import Examples

LEAST = 8
"""The fewest answers to train on."""
# The names of an answer's score in published data.
_SCORES = ("score", "rating", "reward")


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """A conversation up to its last answer, that answer, and its score; a higher one is better."""

    id: str
    prompt_id: str
    messages: tuple[Message, ...]
    answer: str
    score: float


@dataclass(frozen=True)
class ScoredSplit:
    """Answers to train on, answers held out (of other prompts), and how many were dropped."""

    train: list[ScoredRow]
    held_out: list[ScoredRow]
    dropped: Counter[str] = field(default_factory=Counter)
    sources: tuple[Any, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class EncodedScore:
    """Tokens of a prompt with its answer, which ends with the end-of-sequence token; its score."""

    id: str
    prompt_id: str
    ids: list[int]
    score: float

    def sequences(self) -> tuple[int]:
        """Return the number of its tokens."""
        return (len(self.ids),)


def read_scores(
    data: str | Path,
    *,
    held_out: float = 0.1,
    reading: ReadAs = AS_IT_IS,
    option: str = "--data",
) -> ScoredSplit:
    """Read answers and their scores.

    Args:
        data: a folder that `prefer` wrote, of which all labelled answers are used, or data with
            scores: answers with `score` (`rating`, `reward`), pairs with `chosen_score` and
            `rejected_score`, or several `responses` with `scores`.
        held_out: for a file, the share of its prompts to hold out, the last ones.
        reading: how to read a file.
        option: the option that named it, for messages.

    Raises:
        ConfigError: there is none, or a row cannot be used. Names the place and what to do.
    """
    path = user_path(data, option)
    dropped: Counter[str] = Counter()
    if is_ours(path):
        if not (path / LABELLED).is_file():
            raise ConfigError(f"{data}: holds no labelled answers; make them with `prefer`")
        rows = [raw.value for raw in parquet_rows(path / LABELLED, option)]
        parts = (
            [
                _of_prefer(row, number)
                for number, row in enumerate(rows)
                if bool(row["held_out"]) == held
            ]
            for held in (False, True)
        )
        name = str(data)
    else:
        file = read_any(data, option, reading)
        split = split_prompts(file.converted(REWARD_SCORED, _checked), held_out)
        parts = ([one for row in part for one in _scored(row)] for part in split)
        name = file.name
    train, held = (_usable(part, dropped) for part in parts)
    return ScoredSplit(train, held, dropped, name=name)


def _of_prefer(row: Mapping[str, Any], number: int) -> ScoredRow:
    score = row["score"] if row["usable"] and row["score"] is not None else math.nan
    return ScoredRow(f"{number}", row["prompt_id"], turns_of(row["prompt"]), row["text"], score)


def _checked(row: DataRow) -> DataRow:
    """Return a row whose prompt and answers a model can learn from, and which has scores.

    Raises:
        BadRowError: a score is missing, an answer has several turns, or no template could show
            the prompt.
    """
    if row.ranked is not None:
        answers = (answer_turn(row, "ranked", turns) for turns in row.ranked)
        row = replace(row, ranked=tuple((answer,) for answer in answers))
    elif row.chosen is not None:
        chosen, rejected = (one_turn(row, name) for name in ("chosen", "rejected"))
        row = replace(row, chosen=chosen, rejected=rejected)
    else:
        row = replace(row, answer=one_turn(row, "answer"))
    row = replace(row, prompt=asked(row))
    _scored(row)
    return row


def _scored(row: DataRow) -> list[ScoredRow]:
    """Return the answers of a row with their scores.

    Raises:
        BadRowError: there are no scores.
    """
    if row.ranked is not None:
        answers = [answer[-1]["content"] for answer in row.ranked]
        listed = row.columns.get("scores")
        # The format has put the answers in the order of their scores.
        known = sorted(map(_number, listed if isinstance(listed, list) else ()), reverse=True)
        problem = '"scores" is missing; give a number for each answer'
    elif row.chosen is not None and row.rejected is not None:
        answers = [answer[-1]["content"] for answer in (row.chosen, row.rejected)]
        names = (names for names in PAIR_SCORES if all(name in row.columns for name in names))
        known = [_number(row.columns[name]) for name in next(names, ())]
        problem = '"chosen_score" and "rejected_score" are missing; give numbers'
    else:
        answers = [row.answer_text]
        known = [_number(row.columns[name]) for name in _SCORES if name in row.columns][:1]
        problem = '"score" is missing; give a number for the answer'
    if len(known) != len(answers) or any(map(math.isnan, known)):
        told = f"{problem} (or leave --loss out, which learns from pairs)"
        raise BadRowError(row.where, told, "no score")
    return [
        ScoredRow(f"{row.line_id}.{place}", prompt_id(row), row.prompt, answer, score)
        for place, (answer, score) in enumerate(zip(answers, known, strict=True))
    ]


def _number(value: Any) -> float:
    number = number_of(value)
    return math.nan if number is None else number


def _usable(rows: Sequence[ScoredRow], dropped: Counter[str]) -> list[ScoredRow]:
    """Return each answer once, without empty ones and those without a score."""
    kept: dict[tuple[str, str], ScoredRow] = {}
    for row in rows:
        key = (row.prompt_id, row.answer)
        if not row.answer.strip():
            dropped[str(Unusable.EMPTY)] += 1
        elif math.isnan(row.score):
            dropped["unscored"] += 1
        elif key in kept:
            dropped["same_answer"] += 1
        else:
            kept[key] = row
    return list(kept.values())


def mix_scored(
    parts: Sequence[tuple[Part, ScoredSplit]],
    seed: int,
    validation: ScoredSplit | None = None,
) -> ScoredSplit:
    """Put the answers of several data sets together, and weight those that are trained on.

    Args:
        parts: the data sets, with their answers.
        seed: of the draws.
        validation: answers to hold out instead; those of the parts must hold none out.
    """
    mixed = mix_splits(parts, seed, validation)
    return ScoredSplit(mixed.train, mixed.held_out, mixed.dropped, mixed.sources, mixed.name)


def encoded_scores(
    split: ScoredSplit, tokenizer: Any, max_length: int, eos_token: str | None = None
) -> Examples:
    """Return answers as tokens; give the tokenizer what it lacks first (`prepare_tokenizer`).

    Raises:
        ConfigError: too few are short enough, all have one score, or nothing could learn to stop.
    """
    prepare_tokenizer(tokenizer, eos_token)
    dropped = Counter(split.dropped)
    train, held = (
        _encoded(rows, tokenizer, max_length, dropped) for rows in (split.train, split.held_out)
    )
    if len(train) < LEAST:
        why = ", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items()))
        raise ConfigError(
            f"{split.name}: {len(train)} scored answers to train on are too few (dropped: "
            f"{why or 'nothing'}); give at least {LEAST}, or raise --max-length"
        )
    if len({row.score for row in train}) < 2:
        raise ConfigError(
            f"{split.name}: all {len(train)} answers have the score {train[0].score:g}, which "
            "teaches nothing; give answers of different scores"
        )
    rows = {"training answers": train, "held-out answers": held}
    compared = {name: [asdict(row) for row in part] for name, part in rows.items()}
    return Examples(train, held, dict(sorted(dropped.items())), compared)


def _encoded(
    rows: Sequence[ScoredRow], tokenizer: Any, max_length: int, dropped: Counter[str]
) -> list[EncodedScore]:
    """Encode answers as those of pairs are: as a pair of an answer with itself."""
    pairs = [
        PreferenceRow(f"{n}", "", row.messages, row.answer, row.answer)
        for n, row in enumerate(rows)
    ]
    encoded = encode_pairs(pairs, tokenizer, max_length=max_length, dropped=dropped)
    return [
        EncodedScore(row.id, row.prompt_id, pair.prompt_ids + pair.chosen_ids, row.score)
        for pair in encoded
        for row in (rows[int(pair.id)],)
    ]
