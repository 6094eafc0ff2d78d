"""What the loop keeps running equals what all its rounds say."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.config.schema import ProposeConfig, RunConfig, StopConfig
from selfinstruct.generate.requests import PoolTask
from selfinstruct.generate.schedule import size_after, size_ahead
from selfinstruct.generate.state import Beginning, CommittedState, RoundTotals
from selfinstruct.verdicts.pool import first_standards

TOTALS = st.builds(
    lambda tasks, surplus, proposals, tokens: RoundTotals(
        tasks, tasks + surplus, tasks + surplus + 3, tokens, surplus % 3, 7 * tokens, proposals
    ),
    st.integers(0, 9),
    st.integers(0, 5),
    st.integers(0, 16),
    st.integers(0, 999),
)


def state_of(totals: list[RoundTotals]) -> CommittedState:
    state = CommittedState(first_standards([], RunConfig(), {}), full_round=16)
    for number, one in enumerate(totals):
        state.add([PoolTask(f"{number}-{n}", "") for n in range(one.tasks)], one)
    return state


@given(st.integers(0, 200), st.integers(0, 40), st.integers(0, 2**31))
def test_the_beginning_of_a_pool_is_drawn_from_like_a_copy(
    known: int, count: int, seed: int
) -> None:
    pool = [PoolTask(str(number), "") for number in range(known + 5)]
    beginning = Beginning(pool, known)
    count = min(count, known)
    assert list(beginning) == pool[:known]
    drawn = random.Random(seed).sample(beginning, count)
    assert drawn == random.Random(seed).sample(pool[:known], count)
    assert beginning[1:-1] == pool[:known][1:-1]
    assert not known or (beginning[-1] == pool[known - 1])


@given(st.lists(TOTALS, max_size=12), st.integers(0, 20))
def test_counts_and_pool(totals: list[RoundTotals], round: int) -> None:
    state = state_of(totals)
    assert state.tasks == sum(one.tasks for one in totals)
    assert state.tokens == sum(one.tokens for one in totals)
    assert state.failed == sum(one.failed for one in totals)
    prices = StopConfig(price_in=1.0, price_out=2.0, max_cost=1.0)
    prompt = sum(one.prompt_tokens for one in totals)
    assert state.cost(prices) == prices.cost(prompt, state.tokens)
    shown = [task for n in range(max(0, round - 1)) if n < len(totals) for task in _of(totals, n)]
    assert list(state.pool_before(round)) == shown


def _of(totals: list[RoundTotals], number: int) -> list[PoolTask]:
    return [PoolTask(f"{number}-{n}", "") for n in range(totals[number].tasks)]


@given(st.lists(TOTALS, max_size=12), st.integers(1, 200), st.integers(1, 16))
def test_sizes_are_those_of_all_rounds(totals: list[RoundTotals], target: int, open: int) -> None:
    state = state_of(totals)
    propose = ProposeConfig(per_round=16, sizes="shrinking")
    most = propose.most
    assert state.size_ahead(propose, target, open) == size_ahead(totals, open, target, most)
    plain = size_after(totals, target, most)
    if totals:
        ahead = size_ahead(totals[:-1], totals[-1].proposals, target, most)
        plain = plain if ahead is None else ahead
    assert state.next_size(propose, target) == plain
