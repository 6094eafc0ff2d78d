"""Proposals of other styles, read: fields of a task, one rewritten task, a user's message."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.common.records import ParsedInstruction
from selfinstruct.verdicts.parse.proposed import read_fields, read_message, read_task

PIECES = st.sampled_from(
    [
        *("Instruction:", "**Instruction:**", "Input:", "INPUT :", "Constraints:", "Constraint: "),
        *("Output:", "Example 5\n", "Example 5:", "none", "N/A.", "\n", "\n\n", "\r\n", " ", "---"),
        *("Name a bird.", "写一首诗。", "é🙂", "\x00", "**", '"', "Sure, here is a new task:"),
        *("New task:", "I hope this helps!", "4. ", "- "),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=16).map("".join)
FINISH = st.sampled_from(["stop", "length"])


def parts(task: ParsedInstruction) -> tuple[str, str | None, str | None]:
    return task.raw, task.input, task.constraints


@pytest.mark.parametrize(
    ("text", "continues", "expected"),
    [
        (
            " Sort the words.\nInput: b, a\nConstraints: One line.",
            True,
            [("Sort the words.", "b, a", "One line.")],
        ),
        (
            "Instruction: Sort the words.\nConstraints: none\nInput: b, a",
            False,
            [("Sort the words.", "b, a", "")],
        ),
        (" Sing.", True, [("Sing.", "", "")]),
        (
            "**Instruction:** Sort.\n**Input:** N/A.\n**Constraints:** Two\nlines.\n**Output:** a",
            False,
            [("Sort.", "", "Two lines.")],
        ),
        # A label again is a part of the value before it.
        (" Sort.\nInput: x\nInput: y", True, [("Sort.", "x\nInput: y", "")]),
        (
            "Instruction: Sort.\nInput: x\n\nExample 5\nInstruction: Sing.\nInput: none",
            False,
            [("Sort.", "x", ""), ("Sing.", "", "")],
        ),
        # The prompt's own label, repeated.
        ("\nInstruction: Sing.", True, [("Sing.", "", "")]),
        ("Input: x\nConstraints: none", False, []),
        ("", True, []),
    ],
)
def test_fields(text: str, continues: bool, expected: list[tuple[str, str, str]]) -> None:
    assert [parts(task) for task in read_fields(text, "stop", continues=continues)] == expected


def test_the_text_of_a_task_ends_with_its_constraints() -> None:
    [task] = read_fields(" Sing a song\nConstraints: Two lines.", "stop", continues=True)
    assert task.text == "Sing a song. Two lines."
    [task] = read_fields(" Why sing?\nConstraints: Two lines.", "stop", continues=True)
    assert task.text == "Why sing? Two lines."


def test_the_output_and_words_before_are_cut() -> None:
    text = "Sure!\nInstruction: Sort.\nInput: b a\nOutput: a b"
    [task] = read_fields(text, "length", continues=False)
    assert task.cut == "Sure!\na b"
    assert task.truncated


def test_what_follows_too_many_tasks_is_one_candidate() -> None:
    text = "\n".join(f"Instruction: Name {n} birds." for n in range(5))
    tasks = read_fields(text, "stop", continues=False, most=3)
    assert [task.is_rest for task in tasks] == [False, False, False, True]
    assert tasks[-1].raw == "Instruction: Name 3 birds.\nInstruction: Name 4 birds."


@settings(deadline=None)
@given(TEXTS, FINISH, st.booleans())
def test_the_spans_of_fields_are_exact(text: str, finish: str, continues: bool) -> None:
    tasks = read_fields(text, finish, continues=continues)
    for task in tasks:
        assert text[task.start : task.end] == task.raw
        assert task.text
        assert text[slice(*task.input_span)] == task.input
        spans = [(task.start, task.end), task.input_span, task.constraints_span]
        taken = sorted(span for span in spans if span[0] < span[1])
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(taken))
        assert bool(task.constraints) <= (task.constraints_span[0] < task.constraints_span[1])
    assert not any(task.truncated for task in tasks[:-1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Sing a song about rain.", "Sing a song about rain."),
        ("Sure, here is the new task:\n\nNew task: “Sing two songs.”", "Sing two songs."),
        ("**New task:** Sing\ntwo songs.", "Sing two songs."),
        ("Task: Sing two songs.", "Sing two songs."),
    ],
)
def test_a_rewritten_task(text: str, expected: str) -> None:
    [task] = read_task(text, "stop", tag="New task:")
    assert task.text == expected
    assert text[task.start : task.end] == task.raw


@settings(deadline=None)
@given(TEXTS, FINISH)
def test_the_span_of_a_rewritten_task_is_exact(text: str, finish: str) -> None:
    for task in read_task(text, finish, tag="New task:"):
        assert text[task.start : task.end] == task.raw
        assert task.text
        assert task.truncated is (finish == "length")


@given(TEXTS)
def test_a_message_is_the_whole_text(text: str) -> None:
    tasks = read_message(text, "stop")
    assert [task.text for task in tasks] == ([text.strip()] if text.strip() else [])
    assert all(text[task.start : task.end] == task.raw == task.text for task in tasks)
