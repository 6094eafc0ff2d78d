"""Win rates, at equal length too, and Bradley–Terry ratings, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.evaluate.wins import (
    Decided,
    bradley_terry,
    rate_at_equal_length,
    ratings,
    win_rates,
)


def test_two_models_have_the_closed_form() -> None:
    # The maximum for two is where the chance is the share of wins: 30 of 40.
    strengths = bradley_terry(np.array([[0.0, 30.0], [10.0, 0.0]]))
    assert strengths is not None
    assert strengths[0] - strengths[1] == pytest.approx(math.log(3), abs=1e-8)
    assert strengths.sum() == pytest.approx(0, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=5))
def test_expected_wins_give_the_strengths_back(given_strengths: list[float]) -> None:
    true = np.array(given_strengths) - np.mean(given_strengths)
    chances = 1 / (1 + np.exp(true[None, :] - true[:, None]))
    np.fill_diagonal(chances, 0)
    found = bradley_terry(100 * chances)
    assert found is not None
    assert np.allclose(found, true, atol=1e-5)


def test_the_gradient_is_zero_at_the_maximum() -> None:
    wins = np.array([[0, 7, 3.5], [2, 0, 9], [5, 1.5, 0]])
    found = bradley_terry(wins)
    assert found is not None
    expected = 1 / (1 + np.exp(found[None, :] - found[:, None]))
    played = wins + wins.T
    assert np.allclose(wins.sum(axis=1), (played * expected).sum(axis=1) - 0.0, atol=1e-6)


def test_a_model_that_never_lost_has_no_finite_strength() -> None:
    assert bradley_terry(np.array([[0, 5, 5], [0, 0, 3], [0, 2, 0.0]])) is None
    found = ratings(["a", "b", "c"], {("b", "a"): [1.0, 1.0], ("c", "a"): [1.0, 1.0]})
    assert {one.strength for one in found} == {None}


def test_an_interval_that_is_not_finite_is_not_given() -> None:
    # One loss in forty: about every third draw has none.
    votes = {("b", "a"): [0.0, *[1.0] * 39], ("c", "a"): [1.0, 0.0] * 20, ("c", "b"): [0.5] * 40}
    found = ratings(["a", "b", "c"], votes)
    assert all(one.strength is not None for one in found)
    # Ties keep every draw connected; without them there is nothing to hold b back.
    votes[("c", "b")] = [0.0, *[math.nan] * 39]
    votes[("b", "a")] = [1.0] * 40
    votes[("c", "a")] = [1.0, 0.0] * 20
    found = ratings(["a", "b", "c"], votes)
    assert {(one.low, one.high) for one in found} == {(None, None)}


def test_ratings_are_sorted_and_have_intervals() -> None:
    rng = np.random.default_rng(0)
    votes = {
        ("b", "a"): list((rng.random(300) < 0.7).astype(float)),
        ("c", "a"): list((rng.random(300) < 0.9).astype(float)),
        ("c", "b"): [math.nan, *list((rng.random(299) < 0.8).astype(float))],
    }
    found = ratings(["a", "b", "c"], votes)
    assert [one.model for one in found] == ["c", "b", "a"]
    assert all(one.low < one.strength < one.high for one in found)  # type: ignore[operator]


def test_length_is_taken_out() -> None:
    # The judge looks at length alone: who is longer wins with odds of e^2 at the tanh of 1.
    rng = np.random.default_rng(0)
    longer = rng.normal(20, 20, size=4000)  # a writes more, mostly
    chance = 1 / (1 + np.exp(-2 * np.tanh(longer / longer.std())))
    values = (rng.random(4000) < chance).astype(float)
    assert values.mean() > 0.65
    assert rate_at_equal_length(values, longer) == pytest.approx(0.5, abs=0.04)
    # And where length says nothing, it changes nothing.
    apart = (rng.random(4000) < 0.7).astype(float)
    assert rate_at_equal_length(apart, longer) == pytest.approx(apart.mean(), abs=0.04)


def test_rates_count_ties_as_halves_and_leave_out_what_is_unknown() -> None:
    votes = {("b", "a"): [1.0, 0.5, 0.0, math.nan, 1.0]}
    (found,) = win_rates(Decided.AGREEING, votes, {"a": [5.0] * 5, "b": [5.0] * 5})
    assert (found.rate, found.ties, found.n) == (0.625, 1, 4)
    assert found.low <= 0.625 <= found.high
    # All won, all of one length: near 1, and finite.
    (all_won,) = win_rates(
        Decided.AGREEING, {("b", "a"): [1.0] * 50}, {"a": [1.0] * 50, "b": [1.0] * 50}
    )
    assert 0.95 < all_won.at_equal_length < 1
    assert win_rates(Decided.AGREEING, {("b", "a"): [math.nan]}, {"a": [1.0], "b": [1.0]}) == []
