"""Questions with choices: the shapes that known data sets have, and labels that name no choice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.evaluate.choices import read_choices
from selfinstruct.evaluate.rankings import Ranked
from selfinstruct.inputs.read_data import ReadAs
from selfinstruct.train.data.rows import read_rows

FOUR = ["a brick", "an ice cube", "a coin", "a window"]


def read(tmp_path: Path, row: dict[str, Any], **reading: Any) -> Ranked:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    [item] = read_choices(path, ReadAs(**reading))
    return item


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({"ind": 3, "ctx": "She", "ctx_a": "", "endings": FOUR, "label": "1"}, 1),  # HellaSwag
        ({"context": "She", "endings": FOUR, "label": 3}, 3),
        ({"startphrase": "She", **{f"ending{n}": t for n, t in enumerate(FOUR)}, "label": 2}, 2),
        ({"prompt": "She", "endings": FOUR, "answer": "an ice cube"}, 1),
    ],
)
def test_texts_with_endings(row: dict[str, Any], right: int, tmp_path: Path) -> None:
    item = read(tmp_path, row)
    assert item.continues
    assert (item.turns[0]["content"], item.options, item.right) == ("She", tuple(FOUR), right)


LABELS = ["A", "B", "C", "D"]


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({"question": "Q?", "choices": FOUR, "answer": 2, "subject": "ice"}, 2),  # MMLU
        ({"question": "Q?", "choices": {"text": FOUR, "label": LABELS}, "answerKey": "D"}, 3),
        # ARC numbers some of its choices from 1.
        ({"question": "Q?", "choices": {"text": FOUR, "label": list("1234")}, "answerKey": "1"}, 0),
        ({"question_stem": "Q?", "choices": {"label": LABELS, "text": FOUR}, "answerKey": "B"}, 1),
        ({"question": "Q?", "options": dict(zip(LABELS, FOUR, strict=True)), "answer_idx": "C"}, 2),
        ({"question": "Q?", "options": FOUR, "answer": "(b)"}, 1),
        ({"question": "Q?", "options": FOUR, "answer": "a window"}, 3),
        ({"query": "Q?", "choices": FOUR, "gold": 0}, 0),
        ({"question": "Q?", "choices": ["30", "40", "50", "60"], "answer": "40"}, 1),
    ],
)
def test_questions_with_choices(row: dict[str, Any], right: int, tmp_path: Path) -> None:
    item = read(tmp_path, row)
    assert not item.continues
    assert (item.turns[0]["content"], item.right) == ("Q?", right)


def test_a_passage_stands_behind_its_question(tmp_path: Path) -> None:
    row = {"article": "Ice melts.", "question": "Q?", "options": FOUR, "answer": "B"}  # RACE
    assert read(tmp_path, row).turns[0]["content"] == "Q?\n\nIce melts."


def test_a_table_has_its_choices_as_json(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["question", "choices", "answer"], ["Q?", json.dumps(FOUR), "2"]])
    [item] = read_choices(path)
    assert (item.options, item.right) == (tuple(FOUR), 2)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": 4}, '"answer" is 4; give its number from 0 to 3, its letter from A to D, or'),
        ({"answer": -1}, '"answer" is -1; give its number'),
        ({"answer": "E"}, '"answer" is "E"; give its number'),
        ({"answer": True}, '"answer" is true; give its number'),
        ({"answer": "a stone"}, '"answer" is "a stone"; give'),
        ({"answer": "3", "choices": ["3", "4", "5", "6"]}, "the number of one choice and the text"),
        ({"answer": 0, "choices": ["one"]}, "give a list of two texts or more"),
        ({"answer": 0, "choices": "a or b"}, '"choices" is "a or b"; give a list'),
        ({"answer": 0, "choices": ["a", "b", "a"]}, '"choices" has "a" twice'),
        ({"answer": 0, "choices": ["a", " "]}, '"choices" has an empty text at 1'),
        ({"answer": 0, "choices": ["a", 5]}, r'"choices\[1\]" is not a text but 5'),
        ({"answer": 0, "question": " "}, '"question" is empty'),
    ],
)
def test_rows_that_cannot_be_used(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    whole = {"question": "Q?", "choices": FOUR, **row}
    with pytest.raises(ConfigError, match=rf"rows.jsonl:1: .*{message}"):
        read(tmp_path, whole)


def test_the_choices_can_be_left_out_to_learn_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"question": f"Q{n}?", "choices": FOUR, "answer": "a coin"} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ConfigError, match="evaluate --choices`; leave the choices out"):
        read_rows(path)
    assert read_rows(path, reading=ReadAs(columns={"choices": ""})).rows[0].answer == "a coin"


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    row = {"beginning": "She", "ways": FOUR, "best": 1}
    columns = {"context": "beginning", "endings": "ways", "label": "best"}
    assert read(tmp_path, row, columns=columns).continues
