"""Rules on instructions: each gives its reason, and can be switched off."""

from __future__ import annotations

from typing import Any

import pytest

from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.instruction_rules import INSTRUCTION_RULES, UNSUITABLE_KEYWORDS
from selfinstruct.filters.points import points_to_input
from selfinstruct.filters.rule import Failure, InstructionFacts, first_failure

LONG = " ".join(f"word{number}" for number in range(151))
LOOP = " ".join(["say it again"] * 5)  # 13 trigrams, 3 of their own
PROMPT_LINES = frozenset({"continue the list with new tasks."})


def check(text: str, **rules: Any) -> Failure | None:
    facts = InstructionFacts(text, prompt_lines=PROMPT_LINES)
    return first_failure(INSTRUCTION_RULES, facts, RunConfig.model_validate({"rules": rules}))


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
        ("Write a poem about the", "truncated", None, {"truncated": False}),
        ("Name birds, fishes, trees,", "truncated", None, {"truncated": False}),
        ("Answer the question that follows:", "truncated", None, {"truncated": False}),
        ("Name a bird.", "too_short", 4, {"min_words": None}),
        (LONG, "too_long", 150, {"max_words": None}),
        ("Describe what this Image shows.", "unsuitable_keyword", None, {"keywords": ()}),
        (
            *("write a Program that sorts words.", "unsuitable_keyword", None),
            {"forbidden_starts": ()},
        ),
        (
            *("- Name three European birds.", "punctuation_start", None),
            {"punctuation_start": False},
        ),
        (
            *("¿Is this a Spanish question?", "punctuation_start", None),
            {"punctuation_start": False},
        ),
        (
            *("$5 is how many euros?", "punctuation_start", None),
            {"punctuation_start": False},
        ),
        ("Напиши стихи про первый снег.", "wrong_script", 0.9, {"script": None}),
        (
            *("Continue the list with new tasks.", "prompt_echo", None),
            {"prompt_echo": False},
        ),
        ("Task: name three rare birds.", "prompt_echo", None, {"prompt_echo": False}),
        ("Name a bird. ### Done now.", "prompt_echo", None, {"prompt_echo": False}),
        ("Write a letter to [name].", "placeholder", None, {"placeholder": False}),
        ("As an AI, I know birds.", "refusal", None, {"refusal": False}),
        ("I'm going to the party.", "not_a_task", None, {"not_a_task": False}),
        ("The sky is blue today.", "not_a_task", None, {"not_a_task": False}),
        ("We went to Rome together", "not_a_task", None, {"not_a_task": False}),
        (
            *("Sure! Name three rare birds.", "chatty_preamble", None),
            {"chatty_preamble": False},
        ),
        (LOOP, "repetitive", 0.2, {"max_repetition": None}),
    ],
)
def test_each_rule_gives_its_reason_and_can_be_switched_off(
    text: str, reason: str, threshold: float | None, off: dict[str, Any]
) -> None:
    assert check(text) == Failure(reason, threshold)
    assert check(text, **off) is None


def test_a_truncated_item_is_truncated_however_it_ends() -> None:
    text = "Name three birds of Europe."
    facts = InstructionFacts(text, truncated=True)
    assert first_failure(INSTRUCTION_RULES, facts, RunConfig()) == Failure("truncated")
    off = RunConfig.model_validate({"rules": {"truncated": False}})
    assert first_failure(INSTRUCTION_RULES, facts, off) is None


@pytest.mark.parametrize(
    "text", ["Name the country that tango comes from", "Tell me what the Moon revolves on"]
)
def test_a_final_preposition_is_no_cut(text: str) -> None:
    assert check(text) is None


@pytest.mark.parametrize("keyword", UNSUITABLE_KEYWORDS)
def test_each_keyword_of_the_release(keyword: str) -> None:
    text = f"Please {keyword.upper()} something or other."
    assert check(text) == Failure("unsuitable_keyword")


def test_keywords_are_taken_literally() -> None:
    assert check("Name a number such as 3x14.", keywords=("3.14",)) is None
    assert check("Name a number such as 3.14.", keywords=("3.14",)) == Failure("unsuitable_keyword")


def test_a_keyword_may_end_in_a_symbol() -> None:
    text = "Sort these numbers in C++ please."
    assert check(text, keywords=("C++",)) == Failure("unsuitable_keyword")


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("abc def gh i я", None),  # 9 of 10 letters
        ("abc def gh я", Failure("wrong_script", 0.9)),  # 8 of 9
    ],
)
def test_nine_letters_in_ten_must_be_of_the_script(text: str, failure: Failure | None) -> None:
    assert check(text) == failure


def test_another_script_may_be_asked_for() -> None:
    assert check("Напиши стихи про первый снег.", script="CYRILLIC") is None
    assert check("Name three birds of Europe.", script="CYRILLIC") == Failure("wrong_script", 0.9)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a,", "truncated"),
        ("- image", "too_short"),
        ("- Draw a bird for [name].", "unsuitable_keyword"),
        ("- Напиши стихи про снег.", "punctuation_start"),
        ("Sure! Task: write to [name].", "prompt_echo"),
        ("I am going to see [name].", "placeholder"),
    ],
)
def test_the_first_rule_that_fails_gives_the_reason(text: str, reason: str) -> None:
    failure = check(text)
    assert failure is not None
    assert failure.reason == reason


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
