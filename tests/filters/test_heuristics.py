"""Rules on instructions: each gives its reason, and can be switched off."""

from __future__ import annotations

from typing import Any

import pytest

from selfinstruct.config import UNSUITABLE_KEYWORDS, RulesConfig
from selfinstruct.filters.heuristics import Failure, check_instruction, points_to_input
from selfinstruct.records import ParsedInstruction, Reason

LONG = " ".join(f"word{number}" for number in range(151))
LOOP = " ".join(["say it again"] * 5)  # 13 trigrams, 3 of their own
PROMPT_LINES = frozenset({"continue the list with new tasks."})


def check(text: str, **rules: Any) -> Failure | None:
    parsed = ParsedInstruction(0, len(text), text, text, truncated=False)
    return check_instruction(parsed, RulesConfig(**rules), PROMPT_LINES)


@pytest.mark.parametrize(
    "text",
    [
        "Name three birds of Europe.",
        "Write a short poem.",  # 4 words
        "Why do cats purr at night?",
        "Rewrite the sentence in the past tense: I am here.",
        "I need help with my garden.",
        "The sky is blue. Explain why that is.",
        "A train takes how many hours to Rome?",
        "Can you tell me what I should cook for my friends?",
        "Describe the filing of a mapping graphically.",  # no keyword as a whole word
        "Explain where to go to relax.",
        "Écrivez une lettre à votre député.",
        " ".join(f"word{number}" for number in range(150)),
    ],
)
def test_good_instructions_pass(text: str) -> None:
    assert check(text) is None


@pytest.mark.parametrize(
    ("text", "reason", "threshold", "off"),
    [
        ("Write a poem about the", Reason.TRUNCATED, None, {"truncated": False}),
        ("Name birds, fishes, trees,", Reason.TRUNCATED, None, {"truncated": False}),
        ("Answer the question that follows:", Reason.TRUNCATED, None, {"truncated": False}),
        ("Name a bird.", Reason.TOO_SHORT, 4, {"min_words": None}),
        (LONG, Reason.TOO_LONG, 150, {"max_words": None}),
        ("Describe what this Image shows.", Reason.UNSUITABLE_KEYWORD, None, {"keywords": ()}),
        (
            *("write a Program that sorts words.", Reason.UNSUITABLE_KEYWORD, None),
            {"forbidden_starts": ()},
        ),
        (
            *("- Name three European birds.", Reason.PUNCTUATION_START, None),
            {"punctuation_start": False},
        ),
        (
            *("¿Is this a Spanish question?", Reason.PUNCTUATION_START, None),
            {"punctuation_start": False},
        ),
        (
            *("$5 is how many euros?", Reason.PUNCTUATION_START, None),
            {"punctuation_start": False},
        ),
        ("Напиши стихи про первый снег.", Reason.WRONG_SCRIPT, 0.9, {"script": None}),
        (
            *("Continue the list with new tasks.", Reason.PROMPT_ECHO, None),
            {"prompt_echo": False},
        ),
        ("Task: name three rare birds.", Reason.PROMPT_ECHO, None, {"prompt_echo": False}),
        ("Name a bird. ### Done now.", Reason.PROMPT_ECHO, None, {"prompt_echo": False}),
        ("Write a letter to [name].", Reason.PLACEHOLDER, None, {"placeholder": False}),
        ("As an AI, I know birds.", Reason.REFUSAL, None, {"refusal": False}),
        ("I'm going to the party.", Reason.NOT_A_TASK, None, {"not_a_task": False}),
        ("The sky is blue today.", Reason.NOT_A_TASK, None, {"not_a_task": False}),
        ("We went to Rome together", Reason.NOT_A_TASK, None, {"not_a_task": False}),
        (
            *("Sure! Name three rare birds.", Reason.CHATTY_PREAMBLE, None),
            {"chatty_preamble": False},
        ),
        (LOOP, Reason.REPETITIVE, 0.2, {"max_repetition": None}),
    ],
)
def test_each_rule_gives_its_reason_and_can_be_switched_off(
    text: str, reason: Reason, threshold: float | None, off: dict[str, Any]
) -> None:
    assert check(text) == Failure(reason, threshold)
    assert check(text, **off) is None


def test_a_truncated_item_is_truncated_however_it_ends() -> None:
    text = "Name three birds of Europe."
    parsed = ParsedInstruction(0, len(text), text, text, truncated=True)
    failure = check_instruction(parsed, RulesConfig(), PROMPT_LINES)
    assert failure == Failure(Reason.TRUNCATED)
    assert check_instruction(parsed, RulesConfig(truncated=False), PROMPT_LINES) is None


@pytest.mark.parametrize(
    "text", ["Name the country that tango comes from", "Tell me what the Moon revolves on"]
)
def test_a_final_preposition_is_no_cut(text: str) -> None:
    assert check(text) is None


@pytest.mark.parametrize("keyword", UNSUITABLE_KEYWORDS)
def test_each_keyword_of_the_release(keyword: str) -> None:
    text = f"Please {keyword.upper()} something or other."
    assert check(text) == Failure(Reason.UNSUITABLE_KEYWORD)


def test_keywords_are_taken_literally() -> None:
    assert check("Name a number such as 3x14.", keywords=("3.14",)) is None
    assert check("Name a number such as 3.14.", keywords=("3.14",)) == Failure(
        Reason.UNSUITABLE_KEYWORD
    )


def test_a_keyword_may_end_in_a_symbol() -> None:
    text = "Sort these numbers in C++ please."
    assert check(text, keywords=("C++",)) == Failure(Reason.UNSUITABLE_KEYWORD)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("abc def gh i я", None),  # 9 of 10 letters
        ("abc def gh я", Failure(Reason.WRONG_SCRIPT, 0.9)),  # 8 of 9
    ],
)
def test_nine_letters_in_ten_must_be_of_the_script(text: str, failure: Failure | None) -> None:
    assert check(text) == failure


def test_another_script_may_be_asked_for() -> None:
    assert check("Напиши стихи про первый снег.", script="CYRILLIC") is None
    assert check("Name three birds of Europe.", script="CYRILLIC") == Failure(
        Reason.WRONG_SCRIPT, 0.9
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a,", Reason.TRUNCATED),
        ("- image", Reason.TOO_SHORT),
        ("- Draw a bird for [name].", Reason.UNSUITABLE_KEYWORD),
        ("- Напиши стихи про снег.", Reason.PUNCTUATION_START),
        ("Sure! Task: write to [name].", Reason.PROMPT_ECHO),
        ("I am going to see [name].", Reason.PLACEHOLDER),
    ],
)
def test_the_first_rule_that_fails_gives_the_reason(text: str, reason: Reason) -> None:
    failure = check(text)
    assert failure is not None
    assert failure.reason is reason


@pytest.mark.parametrize(
    "instruction",
    [
        "Translate the following sentence to French.",
        "Give a synonym for the given word.",
        "Given a list of numbers, find the largest.",
        "Correct the text below.",
        "Summarize this paragraph in one line.",
        "Rewrite it so that it sounds polite.",
        "Sort the numbers.",
        "Tell whether the animal in the input is a bird.",
    ],
)
def test_instructions_that_point_to_an_input(instruction: str) -> None:
    assert points_to_input(instruction)


@pytest.mark.parametrize(
    "instruction",
    [
        "Name three birds.",
        "Write a story about a dragon.",
        'Translate the following sentence: "I am here."',
        "Sort the following numbers: 3, 1, 2",
        "What happens to water below zero?",
        "Name the words that rhyme with cat.",
        "What is the function of the heart?",
        "Is it safe to eat raw eggs?",
        "Explain the numbers behind inflation.",
    ],
)
def test_instructions_that_are_complete(instruction: str) -> None:
    assert not points_to_input(instruction)
