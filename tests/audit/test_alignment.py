"""The marked subsequence is the one that ROUGE-L counts, at the right characters."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from selfinstruct.audit.alignment import Alignment, align, token_spans
from selfinstruct.filters.novelty.tokens import TOKENS, Tokenizer


def aligned(text: str, other: str) -> Alignment:
    return align(token_spans(text, Tokenizer.ROUGE), token_spans(other, Tokenizer.ROUGE))


def test_by_hand() -> None:
    found = aligned("Name the red bird.", "Name a bird, the red one!")
    text, other = "Name the red bird.", "Name a bird, the red one!"
    assert [text[slice(*span)] for span in found.marks] == ["Name", "the", "red"]
    assert [other[slice(*span)] for span in found.other_marks] == ["Name", "the", "red"]
    assert (found.tokens, found.other_tokens) == (4, 6)


@pytest.mark.parametrize(
    ("text", "tokenizer", "words"),
    [
        ("İstanbul Café 20", Tokenizer.ROUGE, ["İ", "stanbul", "Caf", "20"]),
        ("İstanbul Ca\u00adfé", Tokenizer.UNICODE, ["İstanbul", "Ca\u00adfé"]),
        ("Füße ﬁnden e\u0301t\u00e9", Tokenizer.UNICODE, ["Füße", "ﬁnden", "e\u0301t\u00e9"]),
        ("写一首诗 ok", Tokenizer.UNICODE, ["写", "一", "首", "诗", "ok"]),
    ],
)
def test_spans_point_at_the_text_as_it_is(
    text: str, tokenizer: Tokenizer, words: list[str]
) -> None:
    assert [text[start:end] for _, (start, end) in token_spans(text, tokenizer)] == words


@given(st.text(), st.sampled_from(Tokenizer), st.sampled_from([1, 2, 3]))
@example("\u1100\u1161\u11a8 \u212b", Tokenizer.UNICODE, 2)
def test_spans_are_those_of_the_tokens_that_are_compared(
    text: str, tokenizer: Tokenizer, version: int
) -> None:
    spans = token_spans(text, tokenizer, version)
    assert [word for word, _ in spans] == TOKENS.at(version)(text, tokenizer)
    assert all(0 <= start <= end <= len(text) for _, (start, end) in spans)


words = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=9).map(" ".join)


@given(words, words)
def test_as_many_are_marked_as_rouge_score_counts(one: str, other: str) -> None:
    found = aligned(one, other)
    score = rouge_scorer.RougeScorer(["rougeL"]).score(one, other)["rougeL"].fmeasure
    assert len(found.marks) == len(found.other_marks)
    assert 2 * len(found.marks) / (found.tokens + found.other_tokens) == pytest.approx(score)
    assert [one[slice(*a)] for a in found.marks] == [other[slice(*b)] for b in found.other_marks]
