"""Questions: of three words, and those that are answered without an input."""

from __future__ import annotations

import pytest

from selfinstruct.filters.questions import STANDS_ALONE, is_short_question, stands_alone


@pytest.mark.parametrize(
    "text",
    ["Is aspirin safe?", "what is morphine", "Who invented dynamite?", "Was ist Fluorid?"],
)
def test_a_question_that_names_its_subject(text: str) -> None:
    assert is_short_question(text)


@pytest.mark.parametrize(
    "text",
    [
        *("What is it?", "Who are you?", "How much more?", "What happens next?", "Why not both?"),
        *("Frustrated landlord", "Sort this list.", "多少钱？", "为什么？"),  # noqa: RUF001
    ],
)
def test_no_question_of_its_own(text: str) -> None:
    assert not is_short_question(text)


@pytest.mark.parametrize(
    "text",
    [
        "Is a tomato a fruit?",
        "Is a tomato a fruit or a vegetable?",
        "Are whales mammals? Answer yes or no.",
        "Is the number 17 prime?",
        "Is the sky blue?",
        "Is the Pacific larger than the Atlantic?",
        "Which is heavier, gold or iron?",
    ],
)
def test_it_is_answered_without_an_input(text: str) -> None:
    assert stands_alone(text)
    assert [STANDS_ALONE.at(version)(text) for version in (1, 2, 3, 4)] == [False] * 3 + [True]


@pytest.mark.parametrize(
    "text",
    [
        "Is the comment friendly?",
        "Is it a fruit?",
        "Is this email personal or official?",
        "Is an email spam or not?",
        "Which season does the poem describe: spring or autumn?",
        "Does the code snippet below run without errors?",
        "Is the following true or false?",
        "The sky is grey. Is rain likely?",
        "Decide whether a tomato is a fruit.",
    ],
)
def test_it_may_have_an_input(text: str) -> None:
    assert not stands_alone(text)
