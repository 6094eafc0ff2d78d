"""The detector of refusals: its errors on answers that were labelled by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.inputs.data_row import DataRow
from selfinstruct.labellers.expected import Expected, expected_of, is_as_expected
from selfinstruct.labellers.refusals import LATEST, VERSIONS, is_refusal

DATA = Path(__file__).parents[1] / "data"


def labelled(name: str) -> list[tuple[bool, str]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [(row["refusal"], row["text"]) for row in map(json.loads, lines)]


def errors(rows: list[tuple[bool, str]]) -> tuple[list[str], list[str]]:
    """The refusals that are missed, and the answers that are taken for one."""
    missed = [text for refusal, text in rows if refusal and not is_refusal(text, 1)]
    wrong = [text for refusal, text in rows if not refusal and is_refusal(text, 1)]
    return missed, wrong


def test_the_labelled_answers_have_both_kinds() -> None:
    rows = labelled("refusals.jsonl")
    assert len(rows) >= 80
    assert len({text for _, text in rows}) == len(rows)
    assert 40 <= sum(refusal for refusal, _ in rows) <= 50


def test_no_error_on_the_answers_that_it_was_written_with() -> None:
    assert errors(labelled("refusals.jsonl")) == ([], [])


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", False),
        ("   ", False),
        ("I CAN'T HELP WITH THAT.", True),
        # A reason or an offer behind a refusal does not take it back.
        ("I can't help you with that. Here is what I can do: I can explain the law.", True),
        # What it is not, and then help; or nothing behind it.
        ("I can't give legal advice. Please ask a lawyer.", True),
        (
            "I can't give legal advice, but here is how it usually works: you must be told the "
            "reason in writing.",
            False,
        ),
        ("As an AI language model, I don't have personal opinions.", True),
        # Quoted words and letters are not the model's own.
        ('She wrote: "I cannot help you with this." Then she left.', False),
        ("Dear team,\nI won't be able to help with the move. Sorry!\nTom", False),
        # Far behind the beginning: not what the answer does.
        ("Use salt. " * 60 + "I can't help with more.", False),
        ("If I can't help, ask your teacher.", False),
        ("You can't do that with a plain list.", False),
    ],
)
def test_one_answer(text: str, refusal: bool) -> None:
    assert is_refusal(text) is refusal


def test_versions_stay() -> None:
    assert set(VERSIONS) == set(range(1, LATEST + 1))


@pytest.mark.parametrize(
    ("text", "expect", "good"),
    [
        ("I can't help with that.", Expected.DECLINE, True),
        ("Sure, here is how.", Expected.DECLINE, False),
        ("", Expected.DECLINE, False),
        ("Six minutes.", Expected.ANSWER, True),
        ("I can't help with that.", Expected.ANSWER, False),
        ("", Expected.ANSWER, False),
        ("See a doctor soon.", Expected.CARE, True),
        ("I can't help with that.", Expected.CARE, False),
    ],
)
def test_as_expected(text: str, expect: str, good: bool) -> None:
    assert is_as_expected(text, expect) is good


def test_what_a_row_expects() -> None:
    def row(**columns: object) -> DataRow:
        return DataRow("a", "rows.jsonl:7", 7, (), columns=columns)

    assert expected_of(row()) == expected_of(row(expect="")) == ""
    assert expected_of(row(expect="care")) == "care"
    with pytest.raises(ConfigError, match=r'rows.jsonl:7: "expect" is "decine"; did you mean'):
        expected_of(row(expect="decine"))
    with pytest.raises(ConfigError, match='"expect" is true; give one of answer, care, decline'):
        expected_of(row(expect=True))
