"""The paper's tokens are rouge-score's; other languages have tokens at all."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score import tokenize

from selfinstruct.filters.novelty.tokens import (
    Tokenizer,
    choose_tokenizer,
    choose_tokenizer_3,
    tokens,
    tokens_3,
)


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


@pytest.mark.parametrize(
    ("text", "tokenizer"),
    [
        ("Name a bird.", Tokenizer.ROUGE),
        ("“Name” — a bird… 3 € ™ ❤️ 3️⃣", Tokenizer.ROUGE),
        ("Größe und Länge", Tokenizer.UNICODE),
        ("Viết về bố.", Tokenizer.UNICODE),
        ("re\u0301sume", Tokenizer.UNICODE),
        ("x² and ½", Tokenizer.UNICODE),
        ("ab 春天", Tokenizer.UNICODE),
        ("…", Tokenizer.ROUGE),
    ],
)
def test_the_papers_tokens_are_taken_where_they_lose_nothing(
    text: str, tokenizer: Tokenizer
) -> None:
    assert choose_tokenizer_3(text, "auto") is tokenizer
    assert choose_tokenizer_3(unicodedata.normalize("NFD", text), "auto") is tokenizer


@given(st.text() | st.text("aZ09 .-'_\nİßé写", max_size=40))
@example("Café™ №5 \u00adx")
def test_where_the_papers_tokens_are_taken_they_are_those_of_rouge_score(text: str) -> None:
    if choose_tokenizer_3(text, "auto") is Tokenizer.ROUGE:
        composed = unicodedata.normalize("NFC", text)
        assert tokens_3(text, Tokenizer.ROUGE) == tokenize.tokenize(composed, None)
        if text.isascii():
            assert tokens_3(text, Tokenizer.UNICODE) == tokenize.tokenize(text, None)


@given(st.text(), st.sampled_from(Tokenizer))
def test_canonically_equivalent_texts_have_the_same_tokens(text: str, tokenizer: Tokenizer) -> None:
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    assert tokens_3(forms[0], tokenizer) == tokens_3(forms[1], tokenizer)
    assert len({choose_tokenizer_3(form, "auto") for form in forms}) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("İzmir'de IŞIK", ["izmir", "de", "işik"]),
        ("Straße, STRASSE", ["strasse", "strasse"]),
        ("Donau\u00addampf", ["donaudampf"]),
        ("می\u200cخواهم", ["میخواهم"]),  # noqa: RUF001
        ("❤️ é", ["é"]),
        ("写一首诗。ok", ["写", "一", "首", "诗", "ok"]),
        ("ＷＩＤＥ １２", ["wide", "12"]),  # noqa: RUF001
    ],
)
def test_unicode_words_of_version_3(text: str, expected: list[str]) -> None:
    assert tokens_3(text, Tokenizer.UNICODE) == expected
