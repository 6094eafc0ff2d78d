"""Where a final answer stands, when two of them are the same, and which tasks are closed."""

from __future__ import annotations

import pytest

from selfinstruct.filters.final_answers import final_answer, is_closed

MARK = "Answer:"


def key(text: str, marker: str = MARK) -> str | None:
    found = final_answer(text, marker, needs_marker=False)
    return None if found is None else found.key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 x 4 = 12, 20 - 12 = 8.\nAnswer: 8", "8"),
        ("So it is eight. Answer: 8.", "8"),
        ("**Answer:** 8 euros", "8 euros"),
        ("Answer:\n8", "8"),
        ("Answer: 7\nNo, wait.\nAnswer: 8", "8"),
        ("answer : no", "no"),
        ("The result is 8.", None),
        ("Answer:", None),
        ("", None),
    ],
)
def test_the_last_marker_counts(text: str, expected: str | None) -> None:
    found = final_answer(text, MARK, needs_marker=True)
    assert (found and found.text.rstrip(".")) == expected


def test_in_other_languages() -> None:
    found = final_answer("20 - 12 = 8。\n答案：8", "答案：", needs_marker=True)  # noqa: RUF001
    assert found is not None
    assert found.text == "8"
    assert key("Antwort: Nein.", "Antwort:") == "nein"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("8", "Answer: 8.0"),
        ("1,000", "1000 metres"),
        ("$12", "12"),
        ("6 + 5 = 11 euros.", "11"),
        ("2 x 3 = 6, 6 + 5 = $11", "11"),
        ("The answer is 8.", "8"),
        (r"\boxed{8}", "8"),
        ("Yes, since 1001 = 7 x 143.", "yes"),
        ("**No**", "no."),
        ("(b) Paris", "B)"),
        ("the brick", "A brick."),
    ],
)
def test_the_same(first: str, second: str) -> None:
    assert key(first) == key(second)
    assert key(first) is not None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("8", "80"),
        ("3 am", "3 pm"),
        ("yes", "no"),
        ("no one", "no"),
        ("a)", "b)"),
        ("-8", "8"),
        ("x = y", "y"),
    ],
)
def test_not_the_same(first: str, second: str) -> None:
    assert key(first) != key(second)


@pytest.mark.parametrize(
    ("output", "is_classification", "expected"),
    [
        ("16", False, True),
        ("one two three four five", False, True),
        ("one two three four five six", False, False),
        ("one two three four five six", True, True),
        ("yes\nbecause it rains", True, False),
        ("", False, False),
    ],
)
def test_closed(output: str, is_classification: bool, expected: bool) -> None:
    assert is_closed(output, is_classification=is_classification) is expected
