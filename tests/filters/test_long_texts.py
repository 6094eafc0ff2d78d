"""The checks that were made fast for long texts decide as they did before (tests/former)."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.common.records import Markers
from selfinstruct.filters import (
    code,
    copies,
    echo,
    endings,
    instance_rules,
    instruction_rules,
    length,
    placeholders,
    questions,
    refusals,
    repetition,
    text,
    unsuitable,
)
from selfinstruct.filters.novelty import tokens
from selfinstruct.filters.rule import InstanceFacts, InstructionFacts
from tests.former import code as former_code
from tests.former import copies as former_copies
from tests.former import echo as former_echo
from tests.former import endings as former_endings
from tests.former import instance_rules as former_instance_rules
from tests.former import length as former_length
from tests.former import placeholders as former_placeholders
from tests.former import questions as former_questions
from tests.former import refusals as former_refusals
from tests.former import repetition as former_repetition
from tests.former import text as former_text
from tests.former import tokens as former_tokens
from tests.former.texts import SHORT, TEXTS

Check = Callable[..., Any]
OF_ONE_TEXT: list[tuple[Check, Check]] = [
    (getattr(new, name), getattr(old, name))
    for new, old, names in (
        (text, former_text, "has_placeholder is_refusal is_chatty repetition is_blank"),
        (text, former_text, "looks_like_code ends_unfinished"),
        (code, former_code, "is_code"),
        (repetition, former_repetition, "repeated_share without_parallel_lines"),
        (placeholders, former_placeholders, "leaves_gaps"),
        (refusals, former_refusals, "declines"),
        (endings, former_endings, "is_unfinished"),
        (questions, former_questions, "is_question"),
        (length, former_length, "count_words has_spaceless"),
    )
    for name in names.split()
]


@settings(deadline=None, max_examples=250)
@given(TEXTS)
def test_checks_of_one_text(given: str) -> None:
    for new, old in OF_ONE_TEXT:
        assert new(given) == old(given), new.__name__


@settings(deadline=None)
@given(TEXTS, SHORT, st.booleans())
def test_checks_of_a_text_and_its_task(given: str, task: str, blanks: bool) -> None:
    assert refusals.declines(given, task) == former_refusals.declines(given, task)
    leaves_gaps = placeholders.leaves_gaps(given, task, blanks=blanks)
    assert leaves_gaps == former_placeholders.leaves_gaps(given, task, blanks=blanks)
    for input, output in ((given, "x"), ("x", given), ("", task + given), (task, given)):
        repeats = echo.repeats_instruction(task, input, output)
        assert repeats == former_echo.repeats_instruction(task, input, output)


@settings(deadline=None)
@given(TEXTS, st.lists(SHORT, max_size=4), st.integers(0, 20), st.integers(1, 30))
def test_copies(given: str, shown: list[str], start: int, length: int) -> None:
    held = given[start : start + length]
    for others in (shown, [*shown, held], [given, *shown]):
        assert copies.copies_shown(given, others) == former_copies.copies_shown(given, others)


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["Input:", " Input:", "", "<<in>>", "\nInput:"]))
def test_frames(given: str, marker: str) -> None:
    markers = Markers(input=marker, output="Output:")
    assert echo.echoes_frame(given, markers) == former_echo.echoes_frame(given, markers)
    for instruction in ("Write a poem", given[:9], ""):
        for input, output in ((given, "x"), ("x", given)):
            facts = InstanceFacts(instruction, input, output, markers=markers)
            echoes = instance_rules._echoes(facts, None)
            assert echoes == former_instance_rules._echoes(facts, None)


@settings(deadline=None)
@given(TEXTS)
def test_tokens(given: str) -> None:
    for name in ("choose_tokenizer", "choose_tokenizer_3"):
        assert getattr(tokens, name)(given, "auto") == getattr(former_tokens, name)(given, "auto")
    for tokenizer in tokens.Tokenizer:
        for name in ("tokens", "tokens_3"):
            old = getattr(former_tokens, name)(given, former_tokens.Tokenizer(tokenizer))
            assert getattr(tokens, name)(given, tokenizer) == old


KEYWORDS = [("image", "map", "draw"), ("Kite",), ("file", "straße"), ("s", "i"), ()]
WITH_KEYWORDS = st.lists(
    st.sampled_from(
        [
            *(
                "draw a map",
                "Look at this IMAGE",
                "f\u0131le",
                "F\u0130LE",
                "the attached file",
                "\u017f",
                "\u0130",
                "ß",
            ),
            *("\u212aite", "kite", "maps", "STRASSE", "Straße", " ", ". ", "please draw a line"),
        ]
    )
    | SHORT,
    max_size=6,
).map("".join)


@settings(deadline=None)
@given(WITH_KEYWORDS, st.sampled_from(KEYWORDS))
def test_keywords(given: str, words: tuple[str, ...]) -> None:
    pattern = unsuitable._pattern(tuple(map(str.casefold, words)))
    assert unsuitable.needs_senses(given, words) == bool(words and pattern.search(given))
    limits = SimpleNamespace(keywords=words, forbidden_starts=())
    pattern = instruction_rules._keyword_pattern(words)
    facts = InstructionFacts(given)
    assert instruction_rules._is_unsuitable(facts, limits) == bool(words and pattern.search(given))
