"""Answers that people liked or did not (KTO's data): read in any format that has them, as tokens.

A pair of a better and a worse answer is one liked and one disliked answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import user_path
from selfinstruct.common.records import Message
from selfinstruct.dataset.read import read_any
from selfinstruct.inputs.data_row import DataRow
from selfinstruct.inputs.own_folders import HELD_OUT, TRAIN
from selfinstruct.inputs.purposes import KTO
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.data.encode_pairs import encode_pairs
from selfinstruct.train.data.mixture import Part, mix_splits
from selfinstruct.train.data.preference_rows import (
    PreferenceRow,
    Unusable,
    asked,
    checked,
    is_ours,
    one_turn,
    prompt_id,
    split_prompts,
)
from selfinstruct.train.recipe import Examples

LEAST = 4
"""The fewest liked, and the fewest disliked answers to train on."""


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """A conversation up to its last answer, that answer, and whether a person liked it."""

    id: str
    messages: tuple[Message, ...]
    answer: str
    liked: bool


@dataclass(frozen=True)
class LabelledSplit:
    """Answers to train on, answers held out (of other prompts), and how many were dropped."""

    train: list[LabelledRow]
    held_out: list[LabelledRow]
    dropped: Counter[str] = field(default_factory=Counter)
    sources: tuple[Any, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class EncodedAnswer:
    """Tokens of an answer and what it answers. The answer ends with the end-of-sequence token."""

    id: str
    prompt_ids: list[int]
    completion_ids: list[int]
    liked: bool


def read_labelled(
    data: str | Path,
    *,
    held_out: float = 0.1,
    reading: ReadAs = AS_IT_IS,
    option: str = "--data",
) -> LabelledSplit:
    """Read answers and whether they were liked.

    Args:
        data: answers with a label, or pairs: a file, a folder of `prefer`, or a name on the hub.
        held_out: for a file, the share of its prompts to hold out, the last ones.
        reading: how to read a file.
        option: the option that named it, for messages.

    Raises:
        ConfigError: there is none, or a row cannot be used. Names the place and what to do.
    """
    path = user_path(data, option)
    if is_ours(path):
        parts = [read_any(path / name, option) for name in (TRAIN, HELD_OUT)]
        train, held = (part.converted(KTO, _checked) for part in parts)
        name = str(data)
    else:
        file = read_any(data, option, reading)
        train, held = split_prompts(file.converted(KTO, _checked), held_out)
        name = file.name
    dropped: Counter[str] = Counter()
    rows = [_labelled(part, dropped) for part in (train, held)]
    return LabelledSplit(rows[0], rows[1], dropped, name=name)


def _checked(row: DataRow) -> DataRow:
    """Return a row whose prompt and answers a model can learn from.

    Raises:
        BadRowError: an answer has several turns, or no template could show the prompt.
    """
    if row.label is not None:
        return replace(row, prompt=asked(row), answer=one_turn(row, "answer"))
    return checked(row)


def _labelled(rows: Sequence[DataRow], dropped: Counter[str]) -> list[LabelledRow]:
    """Return each answer once, without empty ones and those that were both liked and not."""
    labels: dict[tuple[str, str], set[bool]] = {}
    found: dict[tuple[str, str], LabelledRow] = {}
    for number, row in enumerate(rows):
        for answer, liked in _answers(row):
            if not answer.strip():
                dropped[str(Unusable.EMPTY)] += 1
                continue
            key = (prompt_id(row), answer)
            labels.setdefault(key, set()).add(liked)
            found.setdefault(key, LabelledRow(f"{number}", row.prompt, answer, liked))
    contrary = {key for key, both in labels.items() if len(both) > 1}
    if contrary:
        dropped["liked_and_disliked"] += len(contrary)
    return [row for key, row in found.items() if key not in contrary]


def _answers(row: DataRow) -> list[tuple[str, bool]]:
    if row.label is not None:
        return [(row.answer_text, row.label)]
    return [
        (turns[-1]["content"], liked)
        for turns, liked in ((row.chosen, True), (row.rejected, False))
        if turns
    ]


def encoded_labelled(
    split: LabelledSplit, tokenizer: Any, max_length: int, eos_token: str | None = None
) -> Examples:
    """Return answers as tokens; give the tokenizer what it lacks first (`prepare_tokenizer`).

    Raises:
        ConfigError: too few of either kind are short enough, or nothing could learn to stop.
    """
    prepare_tokenizer(tokenizer, eos_token)
    dropped = Counter(split.dropped)
    train, held = (
        _encoded(rows, tokenizer, max_length, dropped) for rows in (split.train, split.held_out)
    )
    liked = sum(row.liked for row in train)
    for count, kind in ((liked, "liked"), (len(train) - liked, "disliked")):
        if count < LEAST:
            why = ", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items()))
            raise ConfigError(
                f"{split.name}: {count} {kind} answers to train on are too few (dropped: "
                f"{why or 'nothing'}); give at least {LEAST} of each kind, or raise --max-length"
            )
    rows = {"training answers": train, "held-out answers": held}
    compared = {name: [asdict(row) for row in part] for name, part in rows.items()}
    return Examples(train, held, dict(sorted(dropped.items())), compared)


def _encoded(
    rows: Sequence[LabelledRow], tokenizer: Any, max_length: int, dropped: Counter[str]
) -> list[EncodedAnswer]:
    """Encode answers as those of pairs are: as a pair of an answer with itself."""
    pairs = [
        PreferenceRow(f"{n}", "", row.messages, row.answer, row.answer)
        for n, row in enumerate(rows)
    ]
    return [
        EncodedAnswer(
            rows[int(pair.id)].id, pair.prompt_ids, pair.chosen_ids, rows[int(pair.id)].liked
        )
        for pair in encode_pairs(pairs, tokenizer, max_length=max_length, dropped=dropped)
    ]


def mix_labelled(
    parts: Sequence[tuple[Part, LabelledSplit]],
    seed: int,
    validation: LabelledSplit | None = None,
) -> LabelledSplit:
    """Put the answers of several data sets together, and weight those that are trained on.

    Args:
        parts: the data sets, with their answers.
        seed: of the draws.
        validation: answers to hold out instead; those of the parts must hold none out.
    """
    mixed = mix_splits(parts, seed, validation)
    return LabelledSplit(mixed.train, mixed.held_out, mixed.dropped, mixed.sources, mixed.name)
