"""Span scores: which tokens count, and what there is when none can."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.config import SamplingConfig
from selfinstruct.filters.likelihood import SpanScore, score_span
from selfinstruct.records import Completion, Request, Stage

REQUEST = Request("r", Stage.PROPOSE, "propose.base.jinja", "", SamplingConfig(), 0)


def completion(text: str, spans: list[tuple[int, int]], logprobs: list[float] | None) -> Completion:
    return Completion(
        request=REQUEST,
        text=text,
        token_ids=tuple(range(len(spans))),
        token_logprobs=None if logprobs is None else tuple(logprobs),
        token_starts=tuple(start for start, _ in spans),
        token_ends=tuple(end for _, end in spans),
        finish_reason="stop",
        num_prompt_tokens=0,
    )


# " Name" " a" " b" "ird" "." and the end of the turn
BIRD = completion(
    " Name a bird.",
    [(0, 5), (5, 7), (7, 9), (9, 12), (12, 13), (13, 13)],
    [-1.0, -2.0, -4.0, -8.0, -16.0, -32.0],
)


@pytest.mark.parametrize(
    ("start", "end", "mean", "tokens"),
    [
        (0, 13, (-1 - 2 - 4 - 8 - 16) / 5, 5),
        (1, 5, -1.0, 1),  # the leading space is outside, the token is not
        (5, 7, -2.0, 1),
        (4, 8, (-1 - 2 - 4) / 3, 3),
        (8, 10, (-4 - 8) / 2, 2),
        (12, 13, -16.0, 1),
    ],
)
def test_a_token_counts_when_any_character_is_inside(
    start: int, end: int, mean: float, tokens: int
) -> None:
    assert score_span(BIRD, start, end) == SpanScore(mean, tokens)


def test_every_token_of_a_split_character_counts() -> None:
    split = completion("a🙂", [(0, 1), (1, 2), (1, 2)], [-1.0, -2.0, -4.0])
    assert score_span(split, 1, 2) == SpanScore(-3.0, 2)


@pytest.mark.parametrize(
    "position",
    [
        0,
        5,
        13,
        pytest.param(
            10,
        ),
    ],
)
def test_an_empty_span_has_no_score(position: int) -> None:
    score = score_span(BIRD, position, position)
    assert math.isnan(score.mean_logprob)
    assert (score.num_tokens, score.unscored_reason) == (0, "no_token_in_span")


def test_an_engine_without_logprobs_gives_no_score() -> None:
    silent = completion("ab", [(0, 1), (1, 2)], None)
    score = score_span(silent, 0, 2)
    assert math.isnan(score.mean_logprob)
    assert (score.num_tokens, score.unscored_reason) == (2, "engine_gives_no_logprobs")


TOKENS = st.lists(st.tuples(st.text(min_size=1, max_size=4), st.floats(-50, 0)), min_size=1)


def joined(tokens: list[tuple[str, float]]) -> Completion:
    text, spans = "", []
    for piece, _ in tokens:
        spans.append((len(text), len(text) + len(piece)))
        text += piece
    return completion(text, spans, [logprob for _, logprob in tokens])


@settings(deadline=None)
@given(TOKENS)
def test_the_score_of_the_whole_text_is_the_mean(tokens: list[tuple[str, float]]) -> None:
    whole = joined(tokens)
    mean = math.fsum(logprob for _, logprob in tokens) / len(tokens)
    score = score_span(whole, 0, len(whole.text))
    assert score.mean_logprob == pytest.approx(mean, rel=1e-12, abs=1e-12)
    assert (score.num_tokens, score.unscored_reason) == (len(tokens), None)


@settings(deadline=None)
@given(TOKENS, st.data())
def test_the_score_of_a_span_is_the_mean_of_the_tokens_in_it(
    tokens: list[tuple[str, float]], data: st.DataObject
) -> None:
    whole = joined(tokens)
    start = data.draw(st.integers(0, len(whole.text) - 1))
    end = data.draw(st.integers(start + 1, len(whole.text)))
    owners = [number for number, (piece, _) in enumerate(tokens) for _ in piece]
    inside = sorted(set(owners[start:end]))
    mean = math.fsum(tokens[number][1] for number in inside) / len(inside)
    score = score_span(whole, start, end)
    assert score.mean_logprob == pytest.approx(mean, rel=1e-12, abs=1e-12)
    assert score.num_tokens == len(inside)
