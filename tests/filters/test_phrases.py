"""Phrases are found in any script, as whole words where it has spaces."""

# ruff: noqa: RUF001
from __future__ import annotations

import unicodedata

import pytest

from selfinstruct.filters.phrases import holds_phrase, starts_with_phrase


@pytest.mark.parametrize(
    ("text", "phrase", "there"),
    [
        ("Ich kann das als KI nicht.", "als KI", True),
        ("Ich war als Kind dort.", "als KI", False),
        ("als  ki", "als KI", True),
        ("作为AI，我不能", "作为AI", True),
        ("请画一张图", "画一", True),
        ("用Python写", "python", True),
        ("Pythons", "python", False),
        (unicodedata.normalize("NFD", "Vẽ bản đồ"), "bản đồ", True),
        ("Ve ban do", "bản đồ", False),
        ("gern! Hier", "gern!", True),
        ("nimm 3.5", "3", True),
    ],
)
def test_a_phrase_in_a_text(text: str, phrase: str, there: bool) -> None:
    assert holds_phrase(text, (phrase,)) is there
    assert holds_phrase(text, ("§", phrase)) is there


def test_a_phrase_at_the_start() -> None:
    assert starts_with_phrase("  “Gerne, hier", ("gerne",))
    assert starts_with_phrase("**好的，**这是", ("好的，",))
    assert not starts_with_phrase("Ich komme gerne", ("gerne",))
    assert not starts_with_phrase("Gernegroß", ("gerne",))


def test_no_phrases_are_found_nowhere() -> None:
    assert not holds_phrase("x", ())
    assert not starts_with_phrase("x", ())
