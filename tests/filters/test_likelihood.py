"""Scores over recorded tokens, thresholds from the first candidates, and the rule on them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.records import NAN, Completion, Form, Kind, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import LikelihoodConfig, RunConfig
from selfinstruct.filters.likelihood import (
    LikelihoodThresholds,
    SpanScore,
    conditional_gain,
    quantile,
    score_span,
    score_spans,
    tokens_of,
)
from selfinstruct.filters.rule import Failure, InstanceFacts, InstructionFacts, first_failure
from selfinstruct.filters.score_rules import INSTANCE_SCORE_RULES, LOW_LIKELIHOOD, TOO_LIKELY

TEXT = "Say hello to them. Sing."
#       0123456789
TOKENS = [(0, 3, -1.0), (3, 9, -2.0), (9, 12, -4.0), (12, 18, -0.5), (18, 24, -3.0)]


def completion(logprobs: bool = True, error: str | None = None) -> Completion:
    request = Request(
        "r00000-p000-propose",
        "r00000-p000",
        Stage.PROPOSE,
        Reading(Form.LIST),
        "p",
        SamplingConfig(),
    )
    return Completion(
        request,
        TEXT,
        tuple(range(len(TOKENS))),
        tuple(score for _, _, score in TOKENS) if logprobs else None,
        tuple(start for start, _, _ in TOKENS),
        tuple(end for _, end, _ in TOKENS),
        "stop",
        1,
        error=error,
    )


@pytest.mark.parametrize(
    ("start", "end", "mean", "count"),
    [
        (0, 24, -2.1, 5),
        (0, 18, -1.875, 4),
        (3, 4, -2.0, 1),  # the space that a token begins with is its character
        (4, 10, -3.0, 2),  # one character of the third token is enough
        (2, 4, -1.5, 2),
        (23, 24, -3.0, 1),
    ],
)
def test_a_span_has_every_token_of_which_a_character_lies_in_it(
    start: int, end: int, mean: float, count: int
) -> None:
    assert score_span(completion(), start, end) == SpanScore(pytest.approx(mean), count)


def test_what_cannot_be_scored_is_nan_with_a_reason() -> None:
    for found, reason in (
        (score_span(completion(logprobs=False), 0, 9), "engine_gives_no_logprobs"),
        (score_span(completion(), 5, 5), "no_token_in_span"),
        (score_span(completion(error="prompt too long"), 0, 9), "request_failed"),
    ):
        assert math.isnan(found.mean_logprob)
        assert found.unscored_reason == reason


@given(
    st.lists(st.floats(-20, 0), min_size=1, max_size=200),
    st.floats(0.001, 0.999),
)
def test_the_quantile_is_the_usual_one(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(np.quantile(values, share))


def check(score: float, kind: Kind, threshold: float | None) -> Failure | None:
    config = RunConfig.model_validate({"likelihood": {"max_logprob": -0.1}})
    if kind is Kind.INSTRUCTION:
        task = InstructionFacts("", mean_logprob=score, logprob_threshold=threshold)
        return first_failure([LOW_LIKELIHOOD, TOO_LIKELY], task, config)
    row = InstanceFacts("", "", "", mean_logprob=score, logprob_threshold=threshold, kind=kind)
    return first_failure(INSTANCE_SCORE_RULES, row, config)


def test_the_rule() -> None:
    assert check(-2.5, Kind.INSTRUCTION, -2.0) == Failure("low_likelihood", -2.0)
    assert check(-2.0, Kind.INSTRUCTION, -2.0) is None
    assert check(-0.01, Kind.INSTRUCTION, None) == Failure("too_likely", -0.1)
    assert check(-0.01, Kind.OUTPUT, None) == Failure("too_likely", -0.1)
    # A label is right where it is very likely, and NaN is nobody's fault.
    assert check(-0.01, Kind.LABEL, None) is None
    assert check(NAN, Kind.OUTPUT, -2.0) is None


def test_thresholds_freeze_with_the_round_in_which_there_are_enough() -> None:
    config = LikelihoodConfig(quantile=0.25, calibration=5)
    seeds = {Kind.INSTRUCTION: [-3.0] * 9 + [-6.0, NAN], Kind.LABEL: [-0.1] * 9}
    thresholds = LikelihoodThresholds(config, {0: seeds})
    thresholds.see(Kind.INSTRUCTION, 0, [-1.0, -2.0, NAN])
    assert thresholds.least(Kind.INSTRUCTION, 0) == -6.0  # the guard: the least likely seed
    assert thresholds.least(Kind.OUTPUT, 0) is None
    assert thresholds.least(Kind.LABEL, 0) is None  # nine texts say too little
    thresholds.see(Kind.INSTRUCTION, 1, [-3.0, -4.0, -5.0])
    # Of -5, -4, -3, -2, -1, a quarter of the way up is -4.
    assert thresholds.least(Kind.INSTRUCTION, 1) == -4.0
    assert thresholds.least(Kind.INSTRUCTION, 0) == -6.0  # as that round was judged
    thresholds.see(Kind.INSTRUCTION, 2, [-0.1] * 50)
    assert thresholds.least(Kind.INSTRUCTION, 2) == -4.0
    assert thresholds.in_force(2) == {"instruction": -4.0, "output": None, "label": None}


def test_the_guard_holds_where_first_candidates_are_worse_than_every_seed() -> None:
    config = LikelihoodConfig(quantile=0.5, calibration=1)
    thresholds = LikelihoodThresholds(config, {0: {Kind.OUTPUT: [-2.0] * 10}})
    thresholds.see(Kind.OUTPUT, 0, [-9.0, -9.0])
    assert thresholds.least(Kind.OUTPUT, 0) == -2.0


def test_an_absolute_number_takes_the_place_of_everything() -> None:
    config = LikelihoodConfig(min_logprob=-7.0, calibration=1)
    thresholds = LikelihoodThresholds(config, {0: {Kind.OUTPUT: [-2.0] * 10}})
    thresholds.see(Kind.OUTPUT, 0, [-1.0])
    assert {thresholds.least(kind, 0) for kind in Kind} == {-7.0}


def test_each_start_has_thresholds_of_its_own() -> None:
    config = LikelihoodConfig(quantile=0.5, calibration=1)
    starts = {0: {Kind.OUTPUT: [-9.0] * 10}, 2: {Kind.OUTPUT: [-5.0] * 10}}
    thresholds = LikelihoodThresholds(config, starts)
    thresholds.see(Kind.OUTPUT, 1, [-1.0])
    assert thresholds.least(Kind.OUTPUT, 1) == -1.0
    assert thresholds.least(Kind.OUTPUT, 2) == -5.0
    thresholds.see(Kind.OUTPUT, 3, [-3.0])
    assert thresholds.least(Kind.OUTPUT, 3) == -3.0
    assert thresholds.least(Kind.OUTPUT, 1) == -1.0


def test_conditional_gain() -> None:
    assert conditional_gain(-1.0, SpanScore(-3.5, 4)) == (2.5, None)
    gain, reason = conditional_gain(-1.0, SpanScore(NAN, 0, "request_failed"))
    assert math.isnan(gain)
    assert reason == "request_failed"
    gain, reason = conditional_gain(NAN, SpanScore(-1.0, 3))
    assert math.isnan(gain)
    assert reason == "output_not_scored"


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4), st.floats(-9, 0)), max_size=12),
    st.lists(st.tuples(st.integers(-1, 14), st.integers(-1, 14)), max_size=5),
    st.booleans(),
)
def test_spans_are_scored_as_their_tokens_are_found_one_by_one(
    tokens: list[tuple[int, int, float]], spans: list[tuple[int, int]], rising: bool
) -> None:
    if rising:
        tokens = sorted(tokens)
    starts = tuple(start for start, _, _ in tokens)
    ends = [start + length for start, length, _ in tokens]
    written = replace(
        completion(),
        token_ids=tuple(range(len(tokens))),
        token_logprobs=tuple(score for _, _, score in tokens),
        token_starts=starts,
        token_ends=tuple(sorted(ends) if rising else ends),
    )
    for span, scored in zip(spans, score_spans(written, spans), strict=True):
        inside = tokens_of(written, *span)
        assert scored.num_tokens == len(inside)
        if inside:
            total = sum(tokens[position][2] for position in inside)
            assert scored.mean_logprob == total / len(inside)
