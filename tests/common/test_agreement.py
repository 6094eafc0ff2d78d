"""Krippendorff's alpha: the example of his paper, a case by hand, and what must hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.agreement import ordinal_alpha

# Krippendorff 2011, example C: four observers, twelve units; ordinal alpha 0.815.
OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def test_the_example_of_the_paper() -> None:
    rows = [row.split() for row in OBSERVERS]
    units = [[int(one) for one in column if one != "."] for column in zip(*rows, strict=True)]
    found = ordinal_alpha(units)
    assert found is not None
    assert round(found, 3) == 0.815


def test_by_hand() -> None:
    # Two units, ratings (0, 0) and (0, 1): three 0 and one 1, so the ordinal distance of 0 and
    # 1 is (3 + 1 - (3 + 1) / 2)^2 = 4. Observed 2 * 4 / 1 = 8, expected 2 * 3 * 1 * 4 / 3 = 8.
    assert ordinal_alpha([[0, 0], [0, 1]]) == pytest.approx(0.0)
    # Four of each, all in agreement but one unit.
    assert ordinal_alpha([[0, 0], [0, 0], [1, 1], [1, 0]]) == pytest.approx(1 - 2 / (2 * 15 / 7))


def test_where_nobody_can_agree() -> None:
    assert ordinal_alpha([]) is None
    assert ordinal_alpha([[1], [2]]) is None
    assert ordinal_alpha([[1, 1], [1, 1]]) == 1.0


@given(st.lists(st.integers(0, 3), min_size=2, max_size=8), st.integers(2, 4))
def test_full_agreement_is_1(ranks: list[int], raters: int) -> None:
    assert ordinal_alpha([[rank] * raters for rank in ranks]) == pytest.approx(1.0)


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), max_size=8))
def test_the_order_of_raters_and_units_does_not_matter(units: list[list[int]]) -> None:
    found, other = ordinal_alpha(units), ordinal_alpha([sorted(unit) for unit in reversed(units)])
    assert found == other or found == pytest.approx(other)
    assert found is None or found <= 1
