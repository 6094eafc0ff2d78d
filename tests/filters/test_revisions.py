"""Rules on revisions: what is no other answer, and what speaks about one."""

from __future__ import annotations

import pytest

from selfinstruct.filters.revisions import REVISION_RULES, is_comment, is_unchanged
from selfinstruct.filters.rules import reasons


@pytest.mark.parametrize(
    ("text", "draft", "same"),
    [
        ("An oak.", "An oak.", True),
        ("an OAK!", "An oak.", True),
        ("**An oak**.", "An oak.", True),
        ("An oak tree.", "An oak.", False),
        ("橡树。", "橡树", True),
        ("橡树。", "橡木", False),
        ("...", "...", True),
        ("...", "!!!", False),
        ("", "An oak.", False),
    ],
)
def test_unchanged(text: str, draft: str, same: bool) -> None:
    assert is_unchanged(text, draft) is same


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The answer is already clear and needs no change.", True),
        ("The revised answer: Oaks grow slowly.", True),
        ("Here is the new answer.", True),
        ("This response does not insult anyone.", True),
        ("I have rewritten it in plain words.", True),
        ("I've revised the text.", True),
        ("No changes are needed.", True),
        ("Critique: it is rude.", True),
        ("The principle says to be kind.", True),
        ("The answer is 42.", False),
        ("The answer is Paris, since it is the capital.", False),
        ("The response of the crowd was loud.", False),
        ("I changed trains in Lyon.", False),
        ("No change was found in the till.", True),
        ("An oak.", False),
    ],
)
def test_comments(text: str, told: bool) -> None:
    assert is_comment(text, "Name a tree.") is told


def test_a_task_that_speaks_of_an_answer_may_be_answered_so() -> None:
    assert not is_comment("This response does insult.", "This response does what? Judge it.")


def test_the_reasons_are_known() -> None:
    assert {rule.reason for rule in REVISION_RULES} <= set(reasons())
