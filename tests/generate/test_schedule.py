"""How many proposals a round has: expected values are worked out by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.errors import ConfigError
from selfinstruct.generate.schedule import size_after, size_ahead, tasks_per_proposal
from tests.conftest import Generate


@dataclass(frozen=True)
class Round:
    tasks: int
    good: int
    proposals: int


def rounds(*counts: tuple[int, int]) -> list[Round]:
    return [Round(good, good, proposals) for proposals, good in counts]


def test_the_first_round_knows_only_the_prior() -> None:
    # 1.5 tasks a proposal: (6 + sqrt 6) / 1.5 = 5.6; (20 + sqrt 20) / 1.5 = 16.3
    assert size_after([], 6, 16) == 6
    assert size_after([], 20, 16) == 16
    assert size_after([], 1, 16) == 2


def test_the_yield_is_that_of_the_last_four_rounds_and_of_the_prior() -> None:
    known = rounds((16, 0), (16, 32), (16, 32), (16, 16), (8, 8))
    # (88 good + 4 x 1.5) / (56 + 4 proposals)
    assert tasks_per_proposal(known) == 94 / 60
    # An import has no proposals, and says nothing.
    assert tasks_per_proposal([*known, Round(500, 500, 0)]) == 94 / 60


def test_surplus_counts_for_the_yield() -> None:
    assert tasks_per_proposal([Round(2, 26, 12)]) == (26 + 6) / 16


def test_a_round_ahead_expects_of_the_open_one_what_the_rounds_before_brought() -> None:
    known = rounds((16, 30), (16, 30))
    # 66 / 36 tasks a proposal; the open round of 16 brings 29.3 of the missing 40: 10.7 are left.
    assert size_ahead(known, 16, 100, 16) == math.ceil(
        (40 - 16 * 66 / 36 + math.sqrt(40 - 16 * 66 / 36)) * 36 / 66
    )
    assert size_ahead(known, 16, 1000, 16) == 16
    assert size_ahead(known, 16, 89, 16) is None  # 29 are missing, and expected


def test_a_round_that_falls_short_is_followed_by_a_small_one() -> None:
    # 27 of 29 came: (60 + 27 + 6) / 52 a proposal; (2 + sqrt 2) / 1.79 = 1.9
    assert size_after(rounds((16, 30), (16, 30), (16, 27)), 89, 16) == 2


counts = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 900)), max_size=6)


@given(counts, st.integers(1, 500), st.integers(1, 10**6), st.integers(1, 300))
def test_a_round_has_one_proposal_at_least_and_never_more_than_a_full_one(
    known: list[tuple[int, int]], last: int, target: int, limit: int
) -> None:
    before = rounds(*known)
    assert 1 <= size_after(before, target, limit) <= limit
    ahead = size_ahead(before, last, target, limit)
    assert ahead is None or 1 <= ahead <= limit


@given(counts, st.integers(1, 500), st.integers(1, 10**4), st.integers(1, 300))
def test_a_higher_target_never_shrinks_a_round(
    known: list[tuple[int, int]], last: int, target: int, limit: int
) -> None:
    before = rounds(*known)
    assert size_after(before, target, limit) <= size_after(before, target + 1, limit)
    now, higher = (size_ahead(before, last, one, limit) or 0 for one in (target, target + 1))
    assert now <= higher


@pytest.mark.parametrize(
    ("at_once", "size"), [(1, 16), (64, 16), (100, 25), (128, 32), (1024, 256), (10_000, 512)]
)
def test_rounds_fill_a_quarter_of_the_engine_and_the_run_keeps_their_size(
    at_once: int, size: int, generate: Generate, tmp_path: Path
) -> None:
    run, _ = generate(
        tmp_path / "run", engine={"batch": at_once}, propose__per_round="auto", stop__target=2
    )
    assert run.meta["config"]["propose"]["per_round"] == size
    again, reason = generate(
        tmp_path / "run", engine={"batch": 8}, resume=True, propose__per_round="auto"
    )
    assert reason == "target"
    assert again.meta["config"]["propose"]["per_round"] == size


def test_a_run_does_not_take_another_size_later(generate: Generate, tmp_path: Path) -> None:
    generate(tmp_path / "run", stop__target=2)
    with pytest.raises(ConfigError, match=r"propose\.per_round: 4 -> 5"):
        generate(tmp_path / "run", resume=True, propose__per_round=5, stop__target=30)
