"""Which answers become pairs, and what their lengths say."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.statistics import wilson
from selfinstruct.labellers.base import ScoredAnswer
from selfinstruct.preferences.pairs import (
    Dropped,
    Pair,
    length_balanced,
    length_gap,
    length_report,
    make_pairs,
    split_balanced,
    split_pairs,
)


def answer(
    prompt: str, number: int, text: str, score: float = 0.0, finished: bool = True
) -> ScoredAnswer:
    return ScoredAnswer(f"{prompt}-{number}", prompt, text, 9, finished, score=score)


def test_the_widest_pair_of_a_prompt_is_kept() -> None:
    answers = {"p": [answer("p", n, f"text {n}", score) for n, score in enumerate((0.1, 0.9, 0.4))]}
    pairs, dropped = make_pairs(answers, min_margin=0.0)
    assert [(one.chosen.id, one.rejected.id, one.margin) for one in pairs] == [
        ("p-1", "p-0", pytest.approx(0.8))
    ]
    assert not dropped
    more, dropped = make_pairs(answers, min_margin=0.4, most=3)
    assert [(one.chosen.id, one.rejected.id) for one in more] == [("p-1", "p-0"), ("p-1", "p-2")]
    assert dropped == Counter({Dropped.BELOW_MARGIN: 1})
    two, _ = make_pairs(answers, min_margin=0.0, most=2)
    assert two == more


def test_what_cannot_be_learnt_from_is_dropped_and_counted() -> None:
    answers = {
        "p": [
            answer("p", 0, " \n"),
            answer("p", 1, "cut off", 5.0, finished=False),
            answer("p", 2, "good  answer", 1.0),
            answer("p", 3, "good answer", 0.0),
            answer("p", 4, "unknown", math.nan),
            answer("p", 5, "as good", 1.0),
        ],
        "q": [answer("q", 0, "alone", 1.0)],
    }
    pairs, dropped = make_pairs(answers, min_margin=0.0)
    assert pairs == []
    assert dropped == Counter(
        {
            Dropped.EMPTY: 1,
            Dropped.TRUNCATED: 1,
            Dropped.DUPLICATE: 1,
            Dropped.UNSCORED: 1,
            Dropped.TIE: 1,
        }
    )


def test_all_answers_tied_make_no_pair() -> None:
    answers = {f"p{n}": [answer(f"p{n}", k, f"text {k}", 2.0) for k in range(4)] for n in range(5)}
    pairs, dropped = make_pairs(answers, min_margin=0.0)
    assert pairs == []
    assert dropped == Counter({Dropped.TIE: 5 * 6})


def pair_of(name: str, chosen: int, rejected: int) -> Pair:
    return Pair(
        name,
        answer(name, 0, " ".join("a" * 1 for _ in range(chosen)), 1.0),
        answer(name, 1, " ".join("b" * 1 for _ in range(rejected)), 0.0),
        1.0,
    )


def test_the_length_report_warns_of_a_labeller_that_counts_words() -> None:
    biased = length_report([pair_of(str(n), 10, 5) for n in range(40)])
    assert (biased.longer_chosen, biased.biased) == (1.0, True)
    assert (biased.chosen_words, biased.rejected_words) == (10, 5)
    fair = [pair_of(str(n), 10 if n % 2 else 5, 5 if n % 2 else 10) for n in range(40)]
    assert not length_report(fair).biased
    # Few pairs prove nothing.
    assert not length_report([pair_of("a", 9, 1), pair_of("b", 9, 1)]).biased
    assert math.isnan(length_report([]).longer_chosen)
    # Three pairs of a prompt say no more than one: as wide an interval.
    thrice = length_report([pair_of(str(n), 10, 5) for n in range(40) for _ in range(3)])
    assert (thrice.pairs, thrice.low) == (120, pytest.approx(biased.low))


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=40))
def test_balanced_pairs_are_as_often_longer_as_shorter(lengths: list[tuple[int, int]]) -> None:
    pairs = [pair_of(str(n), *given) for n, given in enumerate(lengths)]
    kept, dropped = length_balanced(pairs)
    signs = Counter((length_gap(pair) > 0) - (length_gap(pair) < 0) for pair in kept)
    assert signs[1] == signs[-1]
    assert len(kept) + dropped == len(pairs)
    assert [pair for pair in pairs if pair in kept] == kept
    ties = [pair for pair in pairs if length_gap(pair) == 0]
    assert all(pair in kept for pair in ties)


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662.
    low, high = wilson(81, 263)
    assert (low, high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert wilson(0, 0) == (0.0, 1.0)


def test_prompts_of_one_instruction_are_held_out_together() -> None:
    pairs = [pair_of(f"i{n // 3}-{n}", 3, 2) for n in range(30)]
    group_of = {pair.prompt_id: pair.prompt_id.split("-")[0] for pair in pairs}
    train, held = split_pairs(pairs, group_of, 7)
    assert len(held) == 9
    assert not {group_of[one.prompt_id] for one in train} & {
        group_of[one.prompt_id] for one in held
    }
    assert train + held == pairs
    assert len(split_pairs(pairs, group_of, 1000)[0]) == 3


def test_the_widest_pair_of_a_prompt_alone_is_held_out() -> None:
    answers = {
        f"p{n}": [answer(f"p{n}", k, f"text {k}", float(k * k)) for k in range(4)] for n in range(9)
    }
    pairs, _ = make_pairs(answers, min_margin=0.0, most=2)
    train, held = split_pairs(pairs, {prompt: prompt for prompt in answers}, 4)
    assert [pair.margin for pair in held] == [9.0] * 4
    assert [pair.margin for pair in train] == [9.0, 8.0] * 5
    assert [pair.prompt_id for pair in held] == ["p5", "p6", "p7", "p8"]


def test_balancing_costs_no_held_out_pair() -> None:
    # Of the last prompts all have the longer answer chosen, of the first every other.
    longer = [n >= 30 or n % 2 for n in range(40)]
    pairs = [pair_of(f"p{n}", *((9, 4) if long else (4, 9))) for n, long in enumerate(longer)]
    group_of = {pair.prompt_id: pair.prompt_id for pair in pairs}
    train, held, before = split_balanced(pairs, group_of, 8)
    assert len(held) >= 8
    for part in (train, held):
        assert sum(length_gap(pair) for pair in part) == 0
    assert before.pairs == 40
    assert not {pair.prompt_id for pair in train} & {pair.prompt_id for pair in held}
    # Where there are not enough, it ends, with fewer.
    assert len(split_balanced(pairs, group_of, 39)[1]) < 39
