"""The paper's tokens are rouge-score's; other languages have tokens at all."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score import tokenize

from selfinstruct.filters.novelty.tokens import Tokenizer, choose_tokenizer, tokens


@given(st.text() | st.text("aZ09 .-'_\nİßé写", max_size=40))
@example("İstanbul DON'T 3.14 naïve_x")
def test_the_papers_tokens_are_those_of_rouge_score(text: str) -> None:
    assert tokens(text, Tokenizer.ROUGE) == tokenize.tokenize(text, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("写一首诗。", ["写", "一", "首", "诗"]),
        ("春のABC", ["春", "の", "abc"]),
        ("เขียน", ["เ", "ขี", "ย", "น"]),
        ("वसंत पर कविता!", ["वसंत", "पर", "कविता"]),
        ("اكتب قصيدة", ["اكتب", "قصيدة"]),
        ("Größe, naïve", ["grösse", "naïve"]),
        ("ＷＩＤＥ １２", ["wide", "12"]),  # noqa: RUF001
        ("… — !", []),
    ],
)
def test_unicode_words(text: str, expected: list[str]) -> None:
    assert tokens(text, Tokenizer.UNICODE) == expected


@given(st.text())
def test_a_choice_can_always_be_made_and_a_wish_is_a_command(text: str) -> None:
    assert choose_tokenizer(text, "auto") in set(Tokenizer)
    assert choose_tokenizer(text, "rouge") is Tokenizer.ROUGE
    assert choose_tokenizer(text, "unicode") is Tokenizer.UNICODE


def test_a_text_of_english_words_has_the_same_tokens_either_way() -> None:
    text = "Write a poem about 3 birds, please."
    assert tokens(text, Tokenizer.ROUGE) == tokens(text, Tokenizer.UNICODE)
