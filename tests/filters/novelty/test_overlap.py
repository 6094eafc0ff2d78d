"""Pools of a kind that is hard for an index: long texts, few words, many texts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import LCSseq
from rouge_score.rouge_scorer import _score_lcs

from selfinstruct.filters.novelty import overlap
from selfinstruct.filters.novelty.token_pool import TokenPool

Text = list[str]
FLOORS = st.sampled_from([0.0, 0.3, 0.5, 2 / 3, 0.7, 0.9])
# Up to three words of 64 bits, with tokens again and again.
LONG = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=170)


def pool_of(texts: list[Text]) -> TokenPool:
    pool = TokenPool()
    for text in texts:
        pool.add(text)
    return pool


def expected(texts: list[Text], query: Text, floor: float) -> tuple[int, float] | None:
    scores = [float(_score_lcs(text, query).fmeasure) for text in texts]
    best = max(scores)
    return (scores.index(best), best) if best > floor else None


@settings(deadline=None)
@given(st.lists(LONG, min_size=1, max_size=6), LONG, FLOORS)
def test_long_texts(texts: list[Text], query: Text, floor: float) -> None:
    assert pool_of(texts).nearest(query, floor) == expected(texts, query, floor)


@pytest.mark.parametrize("times", [254, 255, 256, 300])
@pytest.mark.parametrize("floor", [0.0, 0.5, 0.95])
def test_a_token_that_occurs_more_often_than_a_byte_counts(times: int, floor: float) -> None:
    texts = [["a"] * 290 + ["b"] * 9, ["b"] * 40, ["a"] * times, ["c"]]
    for query in (["a"] * times, ["a"] * 260 + ["b"] * 40, ["b", "a"] * 150):
        assert pool_of(texts).nearest(query, floor) == expected(texts, query, floor)


@pytest.mark.parametrize(("words", "mean"), [(1, 8), (12, 8), (50, 17), (3_000, 17), (300, 90)])
def test_many_texts(words: int, mean: int) -> None:
    """Lists of several blocks; the LCS of every text by rapidfuzz is the oracle."""
    rng = random.Random(words)
    vocabulary = [f"w{number}" for number in range(words)]
    shares = [1 / (rank + 1) for rank in range(words)]
    texts: list[Text] = []
    for _ in range(6_000):
        text = rng.choices(vocabulary, shares, k=rng.randint(mean // 2, 2 * mean))
        if texts and rng.random() < 0.2:  # near-duplicates
            text = [rng.choice(text) if rng.random() < 0.2 else word for word in rng.choice(texts)]
        texts.append(text)
    pool = pool_of(texts)
    others = [rng.choices(vocabulary, shares, k=mean), ["unknown", "w0"]]
    for query in [*rng.sample(texts, 4), *others]:
        scores = [
            overlap.f_measure(LCSseq.similarity(text, query), len(query), len(text))
            for text in texts
        ]
        best = max(scores)
        for floor in (0.0, 0.5, 0.7):
            found = (scores.index(best), best) if best > floor else None
            assert pool.nearest(query, floor) == found
        unlike = [place for place, score in enumerate(scores) if score < 1]
        rest = pool_of([texts[place] for place in unlike])
        best = max((scores[place] for place in unlike), default=0.0)
        for floor in (0.3, 0.7):
            found = None
            if best > floor:
                found = next(n for n, place in enumerate(unlike) if scores[place] == best), best
            assert rest.nearest(query, floor) == found


def test_texts_may_join_between_queries() -> None:
    pool, texts = TokenPool(), []
    rng = random.Random(0)
    for number in range(3_000):
        text = [f"w{rng.randrange(1 + number // 10)}" for _ in range(rng.randint(1, 9))]
        if number % 100 == 0 and texts:
            for floor in (0.4, 0.7):
                assert pool.nearest(text, floor) == expected(texts, text, floor)
        pool.add(text)
        texts.append(text)
    assert len(pool) == 3_000
