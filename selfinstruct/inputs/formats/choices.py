"""Formats of multiple choice: a text with several endings, or a question with several answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from selfinstruct.common.records import Message
from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.formats.base import NOTHING, Fields, Format, Kind
from selfinstruct.prompts.canonical import user_text

_RIGHT = (
    *("answer", "label", "answerkey", "answer_key", "answer_idx", "answer_index"),
    *("gold", "target", "correct"),
)


def _endings(fields: Fields, row: DataRow) -> list[DataRow]:
    choices, names = _choices(fields)
    prompt = (Message(role="user", content=_not_empty(fields, "context")),)
    right = _right(fields, choices, names)
    return [replace(row, prompt=prompt, choices=choices, right=right, continues=True)]


def _answers(fields: Fields, row: DataRow) -> list[DataRow]:
    choices, names = _choices(fields)
    question, context = _not_empty(fields, "question"), fields.optional("context")
    prompt = (Message(role="user", content=user_text(question, context)),)
    right = _right(fields, choices, names)
    return [replace(row, prompt=prompt, choices=choices, right=right)]


def _not_empty(fields: Fields, field: str) -> str:
    text = fields.text(field)
    if not text.strip():
        raise fields.bad(field, "is empty; give a text", "empty")
    return text


def _choices(fields: Fields) -> tuple[tuple[str, ...], Sequence[str]]:
    """Return the choices, and their names where the row names them (ARC: A, B, C, D).

    Raises:
        BadRowError: they are not two texts or more, or two are alike.
    """
    column, value = fields.column("choices"), fields.get("choices")
    if column.endswith("0"):  # SWAG: ending0, ending1, ...
        value = _numbered(fields, column)
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):  # a cell of a CSV file
        with suppress(ValueError):
            value = json.loads(value)
    names: Sequence[str] = ()
    if isinstance(value, Mapping):
        names, value = _named(value)
    if not isinstance(value, list) or len(value) < 2:
        raise fields.bad(
            "choices",
            f"is {shown(fields.get('choices'))}; give a list of two texts or more",
            "no list of choices",
        )
    texts = tuple(
        fields.checked(text, f"{column}[{place}]").strip() for place, text in enumerate(value)
    )
    for place, text in enumerate(texts):
        if not text:
            raise fields.bad("choices", f"has an empty text at {place}; give a text", "empty")
        if text in texts[:place]:
            raise fields.bad("choices", f"has {shown(text)} twice; correct it", "two are alike")
    return texts, names if len(names) == len(texts) else ()


def _numbered(fields: Fields, first: str) -> list[Any]:
    stem = first.removesuffix("0")
    values: list[Any] = []
    while (name := f"{stem}{len(values)}") in fields.columns:
        values.append(fields.columns[name])
    return values


def _named(value: Mapping[str, Any]) -> tuple[list[str], Any]:
    """Return names and texts of `{"text": [...], "label": [...]}` or `{"A": ..., "B": ...}`."""
    lower = {str(key).lower(): item for key, item in value.items()}
    if isinstance(lower.get("text"), list):
        names = lower.get("label")
        return [str(name) for name in names] if isinstance(names, list) else [], lower["text"]
    return [str(key) for key in value], list(value.values())


def _right(fields: Fields, choices: Sequence[str], names: Sequence[str]) -> int:
    """Return the place of the right choice, from 0: by its index, its letter or its text.

    Raises:
        BadRowError: it names none of the choices, or two.
    """
    value = fields.get("right")
    if isinstance(value, float) and value.is_integer():  # a table with a missing label
        value = int(value)
    if isinstance(value, str) and len(value.strip()) == 3:
        value = value.strip().removeprefix("(").removesuffix(")")
    places: set[int] = set()
    if isinstance(value, str):
        text = value.strip()
        if text in names:
            return list(names).index(text)
        places = {place for place, choice in enumerate(choices) if choice == text}
        if len(text) == 1 and text.isascii() and text.isalpha():
            places.add(ord(text.upper()) - ord("A"))
        if text.isascii() and text.isdigit():
            places.add(int(text))
    elif isinstance(value, int) and not isinstance(value, bool):
        places = {value}
    inside = [place for place in places if 0 <= place < len(choices)]
    if len(inside) == 1:
        return inside[0]
    last = chr(ord("A") + len(choices) - 1)
    ways = f"its number from 0 to {len(choices) - 1}, its letter from A to {last}, or its text"
    problem = "is missing" if value is None else f"is {shown(value)}"
    problem += ", which is the number of one choice and the text of another" if inside else ""
    raise BadRowError(
        fields.where,
        f'"{fields.column("right")}" {problem}; give {ways}',
        f"{fields.column('right')}: names no choice",
    )


def _has_choices(fields: Fields) -> bool:
    return fields.get("choices") not in NOTHING


ENDINGS = Format(
    name="endings",
    kind=Kind.CHOICES,
    names={
        "context": ("context", "ctx", "prompt", "startphrase"),
        "choices": ("endings", "ending0"),
        "right": ("label", *(name for name in _RIGHT if name != "label")),
    },
    needs=("context", "choices", "right"),
    convert=_endings,
    help="`context` (or `ctx`), `endings`, `label`: the index of the right ending, from 0, or its "
    "letter (HellaSwag, SWAG)",
    example={
        "context": "She blew out the candle, and the room",
        "endings": ["went dark.", "ate the cake.", "was a candle.", "sang to itself."],
        "label": 0,
    },
    fits=_has_choices,
)

CHOICES = Format(
    name="choices",
    kind=Kind.CHOICES,
    names={
        "question": ("question", "query", "problem", "question_stem", "prompt", "instruction"),
        "choices": ("choices", "options"),
        "right": _RIGHT,
        "context": ("context", "passage", "article", "input"),
    },
    needs=("question", "choices", "right"),
    convert=_answers,
    help="`question`, `choices` (or `options`), `answer`: the number of the right one from 0, its "
    "letter or its text; also `context` (MMLU, ARC, RACE)",
    example={
        "question": "Which of these melts in the sun?",
        "choices": ["a brick", "an ice cube", "a coin", "a window"],
        "answer": "B",
    },
    fits=_has_choices,
)
