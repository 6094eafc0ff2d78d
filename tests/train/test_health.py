"""The verdict on a training on preferences, by numbers made up for it."""

from __future__ import annotations

import html
from dataclasses import replace

import pytest

from selfinstruct.train.health.page import health_page
from selfinstruct.train.health.verdict import Health, HeldOutPair, Point, Trouble, health_of
from selfinstruct.train.recipes.dpo import DpoResult

START = Point(0, 0.0, 0.69, 0.0, 0.0, -50.0, -60.0, 0.0, 40.0, 0.1)
END = Point(10, 1.0, 0.5, 0.8, 0.5, -48.0, -70.0, 2.0, 42.0, 0.1)


def pairs(chosen: float, rejected: float, count: int = 60) -> list[HeldOutPair]:
    """Pairs whose answers gained so much, more or less, in nats."""
    return [
        HeldOutPair(-50 + chosen + n % 3 - 1, -60 + rejected + n % 5 - 2, -50, -60, 20, 20)
        for n in range(count)
    ]


def troubles(health: Health) -> list[Trouble]:
    return [one.trouble for one in health.warnings]


def test_a_training_that_went_well() -> None:
    health = health_of(pairs(2.0, -10.0), [START, END], beta=0.1)
    assert health.warnings == []
    assert (health.pairs, health.accuracy.mean) == (60, 1.0)
    assert health.accuracy.low > 0.9
    # β·((chosen − its reference) − (rejected − its reference)), by hand: 0.1 · (2 + 10).
    assert health.margin.mean == pytest.approx(1.2)
    assert health.chosen.mean == pytest.approx(2.0)
    assert health.rejected.mean == pytest.approx(-10.0)
    assert health.reference_accuracy.mean == 1.0
    assert (health.tokens_before, health.tokens_after) == (40.0, 42.0)


def test_chosen_answers_that_become_less_likely() -> None:
    health = health_of(pairs(-8.0, -20.0), [START, END], beta=0.1)
    assert troubles(health) == [Trouble.LESS_LIKELY]
    [warned] = health.warnings
    assert "chosen answers lost 8.0 nats, rejected ones 20.0" in warned.found
    assert "--beta" in warned.advice
    # Where rejected ones lose less, the accuracy is what is wrong.
    assert Trouble.LESS_LIKELY not in troubles(health_of(pairs(-8.0, 0.0), [START, END], 0.1))


def test_labels_that_contradict() -> None:
    """As where the pairs that were trained on are flipped: held-out ones are ranked backwards."""
    health = health_of(pairs(-10.0, 5.0), [START, END], beta=0.1)
    assert Trouble.BELOW_CHANCE in troubles(health)
    assert "flipped labels" in health.warnings[0].advice


def test_accuracy_at_chance() -> None:
    mixed = [*pairs(2.0, -10.0, 32), *pairs(-10.0, 2.0, 28)]
    assert Trouble.CHANCE in troubles(health_of(mixed, [START, END], beta=0.1))


def test_labels_against_all_that_the_reference_would_write() -> None:
    against = [replace(one, ref_chosen=-80.0, chosen=-78.0) for one in pairs(2.0, -10.0)]
    assert Trouble.AGAINST in troubles(health_of(against, [START, END], beta=0.1))


def test_a_policy_that_did_not_move_is_at_chance() -> None:
    still = [replace(one, chosen=one.ref_chosen, rejected=one.ref_rejected) for one in pairs(1, 1)]
    health = health_of(still, [START, START], beta=0.1)
    assert health.accuracy.mean == 0.5
    assert troubles(health) == [Trouble.CHANCE]


def test_few_pairs_and_none() -> None:
    assert troubles(health_of(pairs(2.0, -10.0, 5), [START, END], 0.1))[0] is Trouble.FEW
    none = health_of([], [START, END], 0.1)
    assert troubles(none) == [Trouble.FEW]
    assert "0 pairs are held out" in none.warnings[0].found


@pytest.mark.parametrize(
    ("end", "trouble", "shown"),
    [
        (replace(END, divergence=25.0), Trouble.FAR, "25.0 nats"),
        (replace(END, tokens=100.0), Trouble.LONGER, "100 tokens, 40 before"),
        (replace(END, tokens=10.0), Trouble.SHORTER, "10 tokens, 40 before"),
        (replace(END, endless=0.5), Trouble.ENDLESS, "50 % of fresh answers do not end"),
    ],
)
def test_fresh_answers(end: Point, trouble: Trouble, shown: str) -> None:
    health = health_of(pairs(2.0, -10.0), [START, end], beta=0.1)
    assert troubles(health) == [trouble]
    assert shown in health.warnings[0].found


def test_the_page_says_all_that_is_wrong() -> None:
    history = [START, replace(END, divergence=25.0)]
    health = health_of(pairs(-8.0, -20.0), history, beta=0.1)
    result = DpoResult(100, 60, {"tie": 3}, 10, 1000, 1.0, [(1, 0.7), (2, 0.6)], history, health)
    page = html.unescape(health_page(result))
    for warned in health.warnings:
        assert warned.found in page
        assert warned.advice in page
    assert page.count("<svg") == 6
    assert "3 tie" in page
    assert "<script" not in page
    assert "http" not in page
