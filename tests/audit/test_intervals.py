"""Intervals of finite populations: exact coverage, worked by enumeration, and laws."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.audit.intervals import Interval, good_in_population, share_of_sum, total


def chance(good: int, size: int, count: int, rated: int) -> float:
    """The hypergeometric chance, in whole numbers."""
    ways = math.comb(count, good) * math.comb(size - count, rated - good)
    return ways / math.comb(size, rated)


def coverage(size: int, count: int, rated: int) -> float:
    """The chance that the interval holds the truth, over all samples that can be drawn."""
    covered = 0.0
    for good in range(max(0, rated - (size - count)), min(rated, count) + 1):
        found = good_in_population(size, rated, good)
        if found.low <= count <= found.high:
            covered += chance(good, size, count, rated)
    return covered


@pytest.mark.parametrize(
    ("size", "rated"), [(7, 5), (12, 6), (30, 5), (30, 20), (200, 20), (200, 50), (5000, 50)]
)
def test_it_covers_what_it_should(size: int, rated: int) -> None:
    found = [coverage(size, count, rated) for count in range(0, size + 1, max(1, size // 60))]
    assert min(found) > 0.90
    assert 0.945 < sum(found) / len(found) < 0.99


def test_by_hand() -> None:
    # 2 of 4 rated, both good. With 3 good of 4, both drawn are good in 3 of 6 ways, and half
    # of that is 0.25; with 2 good of 4 it is 1 of 6, half of it 0.083; both above 0.025.
    assert good_in_population(4, 2, 2) == Interval(4, 2, 4)
    # 5 of 10, all good: with 6 good of 10 it is C(6,5)/C(10,5) = 6/252, half of it 0.0119;
    # with 7, 21/252, half of it 0.0417.
    assert good_in_population(10, 5, 5) == Interval(10, 7, 10)
    assert good_in_population(10, 5, 0) == Interval(0, 0, 3)


@given(size=st.integers(1, 500), data=st.data())
def test_laws_of_one_stratum(size: int, data: st.DataObject) -> None:
    rated = data.draw(st.integers(1, size))
    good = data.draw(st.integers(0, rated))
    found = good_in_population(size, rated, good)
    assert good <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= size - (rated - good)
    mirrored = good_in_population(size, rated, rated - good)
    assert (mirrored.low, mirrored.high) == (size - found.high, size - found.low)
    if rated == size:
        assert found == Interval(good, good, good)


def test_in_a_large_population_it_is_the_interval_of_the_binomial() -> None:
    found = good_in_population(1_000_000, 50, 3)

    def tail(share: float, outcomes: range) -> float:
        chances = [math.comb(50, x) * share**x * (1 - share) ** (50 - x) for x in outcomes]
        return sum(chances) - chances[0] / 2

    assert tail(found.low / 1e6, range(3, 51)) == pytest.approx(0.025, rel=0.01)
    assert tail(found.high / 1e6, range(3, -1, -1)) == pytest.approx(0.025, rel=0.01)


def interval(size: int, shares: list[float]) -> Interval:
    low, value, high = sorted(size * share for share in shares)
    return Interval(value, low, high)


parts = st.builds(interval, st.integers(1, 1000), st.lists(st.floats(0, 1), min_size=3, max_size=3))


@given(st.lists(parts, min_size=1, max_size=6))
def test_a_total_lies_within_the_totals_of_its_limits(rows: list[Interval]) -> None:
    found = total(rows)
    assert sum(row.low for row in rows) - 1e-6 <= found.low <= found.value + 1e-6
    assert found.value - 1e-6 <= found.high <= sum(row.high for row in rows) + 1e-6


@given(parts, parts)
def test_a_share_lies_between_0_and_1(part: Interval, rest: Interval) -> None:
    found = share_of_sum(part, rest)
    if found is not None:
        assert 0 <= found.low <= found.value + 1e-9
        assert found.value - 1e-9 <= found.high <= 1


def test_what_is_known_is_a_point() -> None:
    assert total([Interval(3, 3, 3), Interval(4, 4, 4)]) == Interval(7, 7, 7)
    found = share_of_sum(Interval(3, 3, 3), Interval(9, 9, 9))
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert share_of_sum(Interval(0, 0, 0), Interval(0, 0, 0)) is None


def test_sums_and_shares_cover_too() -> None:
    rng = random.Random(3)
    strata = [(400, 40, 0.9), (150, 40, 0.3), (60, 40, 0.05), (9, 9, 0.6)]
    truth = [round(size * share) for size, _, share in strata]
    hits = [0, 0]
    for _ in range(500):
        parts = []
        for (size, rated, _), count in zip(strata, truth, strict=True):
            drawn = rng.sample(range(size), rated)
            parts.append(good_in_population(size, rated, sum(one < count for one in drawn)))
        whole = total(parts)
        share = share_of_sum(parts[0], total(parts[1:]))
        assert share is not None
        hits[0] += whole.low <= sum(truth) <= whole.high
        hits[1] += share.low <= truth[0] / sum(truth) <= share.high
    assert all(0.90 <= hit / 500 <= 0.99 for hit in hits), hits
