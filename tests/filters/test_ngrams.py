"""Runs of words: 13 where words stand between spaces, 26 characters elsewhere."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.filters.ngrams import ngrams


@given(st.lists(st.sampled_from(["Word", "a_b", "x-y", "7", "…"]), max_size=30).map(" ".join))
def test_runs_of_english_words(text: str) -> None:
    words = re.findall(r"\w+", text.casefold())
    assert list(ngrams(text)) == [tuple(words[n : n + 13]) for n in range(len(words) - 12)]


def test_runs_of_other_scripts() -> None:
    text = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少白日依山尽黄河"
    assert len(text) == 27
    assert list(ngrams(f"{text}。")) == [tuple(text[:26]), tuple(text[1:])]
    assert list(ngrams(text[:25])) == []
    words = " ".join(f"Việt{n}" for n in range(13))
    assert list(ngrams(unicodedata.normalize("NFD", words))) == list(ngrams(words))
    assert len(list(ngrams(words))) == 1
