"""The rules on rewritten tasks: they must differ from their parent, and not speak of it."""

from __future__ import annotations

import pytest

from selfinstruct.filters.rewriting import is_unchanged, speaks_of_prompt
from selfinstruct.filters.rule import InstructionFacts

PARENT = "Write a poem about rain."


@pytest.mark.parametrize(
    ("text", "unchanged"),
    [
        (PARENT, True),
        ("write a POEM, about rain", True),
        ("Write a poem about rain in five lines.", False),
        ("Write a poem about snow.", False),
    ],
)
def test_the_same_words_are_no_rewriting(text: str, unchanged: bool) -> None:
    assert is_unchanged(InstructionFacts(text, rewritten=(PARENT,))) is unchanged
    assert not is_unchanged(InstructionFacts(text))


@pytest.mark.parametrize(
    ("text", "speaks"),
    [
        ("The rewritten task: sing a song.", True),
        ("Add five lines to the given prompt.", True),
        ("Change: sing.", True),
        ("Write a poem about a task.", False),
        ("Name the tasks of a nurse.", False),
    ],
)
def test_words_of_the_prompt(text: str, speaks: bool) -> None:
    assert speaks_of_prompt(InstructionFacts(text, rewritten=(PARENT,))) is speaks
    assert not speaks_of_prompt(InstructionFacts(text))


def test_the_parents_own_words_may_stay() -> None:
    parent = "Divide the given task into steps."
    text = "Divide the given task into five steps, each of one line."
    assert not speaks_of_prompt(InstructionFacts(text, rewritten=(parent,)))
