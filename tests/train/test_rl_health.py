"""The verdict on a training on rewards, by numbers made up for it."""

from __future__ import annotations

import html
import math
from dataclasses import replace
from typing import Any

import pytest

from selfinstruct.train.health.rl_page import against_divergence, rl_page
from selfinstruct.train.health.rl_verdict import RlHealth, RlPoint, hacked, rl_health_of
from selfinstruct.train.health.verdict import Trouble
from selfinstruct.train.recipes.rl import RlResult

PROMPTS = 60


def point(step: int, reward: float, gold: float | None = None, **changes: Any) -> RlPoint:
    """A moment whose rewards and gold scores have these means, with some spread by prompt."""
    spread = [0.1 * (n % 5 - 2) for n in range(PROMPTS)]
    made = RlPoint(
        step=step,
        epoch=step / 10,
        scores=[reward + each for each in spread],
        golds=[] if gold is None else [gold + each for each in reversed(spread)],
        rewards={"words": reward},
        divergence=step / 10,
        entropy=2.0,
        tokens=40.0,
        endless=0.1,
    )
    return replace(made, **changes)


def troubles(health: RlHealth) -> list[Trouble]:
    return [one.trouble for one in health.warnings]


def test_a_training_that_went_well() -> None:
    health = rl_health_of([point(0, 0.3, 0.5), point(10, 0.8, 0.6)], PROMPTS)
    assert health.warnings == []
    assert (health.prompts, health.reward_before) == (PROMPTS, pytest.approx(0.3))
    assert health.gain.mean == pytest.approx(0.5)
    assert health.gain.low > 0
    assert health.gold_gain.mean == pytest.approx(0.1)
    assert point(10, 0.8).objective(0.2) == pytest.approx(0.8 - 0.2 * 1.0)


def test_a_reward_that_is_hacked_is_named() -> None:
    history = [point(0, 0.3, 0.5), point(10, 0.8, 0.2)]
    health = rl_health_of(history, PROMPTS)
    assert troubles(health) == [Trouble.HACKED]
    assert "since step 0 the reward rose by +0.5" in health.warnings[0].found
    assert "the gold score fell by -0.3" in health.warnings[0].found
    assert "--stop-on-hacking" in health.warnings[0].advice


def test_a_gold_score_that_rises_first_and_falls_then() -> None:
    """The curve of Gao et al.: at the end it is where it began, and it was higher between."""
    history = [point(0, 0.3, 0.5), point(10, 0.6, 0.8), point(20, 0.9, 0.5)]
    assert hacked(history[:2]) is None
    warned = hacked(history)
    assert warned is not None
    assert "since step 10 the reward rose by +0.3" in warned.found
    assert "stop near step 10" in warned.advice


def test_an_earlier_policy_that_is_saved_is_the_one_that_is_measured() -> None:
    history = [point(0, 0.3, 0.5), point(10, 0.6, 0.8), point(20, 0.9, 0.5)]
    health = rl_health_of(history, PROMPTS, saved=10)
    assert (health.reward, health.gold) == (pytest.approx(0.6), pytest.approx(0.8))
    assert troubles(health) == [Trouble.HACKED]
    assert health.warnings[0].found.endswith("; saved is the policy of step 10")


@pytest.mark.parametrize(
    "history",
    [
        [point(0, 0.3, 0.5)],
        [point(0, 0.3), point(10, 0.8)],  # without an independent scorer
        [point(0, 0.3, 0.5), point(10, 0.8, 0.5)],
        [point(0, 0.3, 0.5), point(10, 0.8, 0.7)],
        [point(0, 0.8, 0.5), point(10, 0.3, 0.2)],  # both fell
        [point(0, 0.3, math.nan), point(10, 0.8, math.nan)],
    ],
)
def test_what_is_no_hacking(history: list[RlPoint]) -> None:
    assert hacked(history) is None


def test_chance_is_not_taken_for_hacking() -> None:
    """The gold score falls by less than its interval."""
    start, end = point(0, 0.3, 0.5), point(10, 0.8, 0.5)
    golds = [gold + (0.5 if n % 2 else -0.55) for n, gold in enumerate(end.golds)]
    assert replace(end, golds=golds).gold < start.gold
    assert hacked([start, replace(end, golds=golds)]) is None


@pytest.mark.parametrize(
    ("end", "trouble", "shown"),
    [
        (point(10, 0.3), Trouble.NOT_RAISED, "from 0.3 to 0.3"),
        (point(10, 0.8, divergence=25.0), Trouble.FAR, "25.0 nats"),
        (point(10, 0.8, tokens=100.0), Trouble.LONGER, "100 tokens, 40 before"),
        (point(10, 0.8, tokens=10.0), Trouble.SHORTER, "10 tokens, 40 before"),
        (point(10, 0.8, endless=0.5), Trouble.ENDLESS, "50 % of fresh answers do not end"),
        (point(10, 0.8, entropy=0.2), Trouble.COLLAPSED, "from 2.00 to 0.20"),
    ],
)
def test_each_trouble_is_named(end: RlPoint, trouble: Trouble, shown: str) -> None:
    health = rl_health_of([point(0, 0.3), end], PROMPTS)
    assert troubles(health) == [trouble]
    assert shown in health.warnings[0].found


def test_a_reward_that_no_answer_gets_teaches_nothing() -> None:
    start = point(0, 0.0, scores=[0.0] * PROMPTS)
    health = rl_health_of([start, point(10, 0.0, scores=[0.0] * PROMPTS)], PROMPTS)
    assert troubles(health) == [Trouble.NO_SIGNAL, Trouble.NOT_RAISED]


def test_few_prompts() -> None:
    assert troubles(rl_health_of([point(0, 0.3), point(10, 0.8)], 5)) == [Trouble.FEW]


def test_what_could_not_be_scored_is_left_out() -> None:
    holes = [math.nan if n % 2 else 1.0 for n in range(PROMPTS)]
    assert point(0, 0.0, scores=holes).reward == 1.0
    assert math.isnan(point(0, 0.0, scores=[math.nan] * PROMPTS).reward)


def test_the_curve_over_the_divergence_has_one_scale() -> None:
    history = [point(0, 0.3, 5.0), point(40, 0.8, 4.0), point(90, 0.9, 3.0)]
    chart = against_divergence(history)
    assert chart is not None
    assert chart["ends"] == ("0", "√KL 3")  # the root of 90 / 10
    # By hand: the spread of 0.1·(−2, −1, 0, 1, 2) is 0.1414.
    assert [line["last"] for line in chart["lines"]] == ["4.24", "-14.1"]
    assert against_divergence([point(0, 0.3)]) is None


def test_the_page_says_all_that_is_wrong() -> None:
    history = [point(0, 0.3, 0.5), point(10, 0.8, 0.2, divergence=25.0)]
    health = rl_health_of(history, PROMPTS)
    result = RlResult(
        algo="rloo",
        rewards=["words@0.1"],
        gold="<reference>",
        beta=0.05,
        train_prompts=100,
        held_out_prompts=PROMPTS,
        dropped={"too_long": 3},
        steps=10,
        tokens=1000,
        seconds=1.0,
        losses=[(1, 0.0)],
        trained_rewards=[(1, 0.3), (2, 0.4)],
        history=history,
        health=health,
    )
    source = rl_page(result)
    assert "<reference>" not in source
    page = html.unescape(source)
    for warned in health.warnings:
        assert warned.found in page
        assert warned.advice in page
    assert len(health.warnings) == 2
    assert page.count("<svg") == 8
    assert "3 too_long" in page
    assert "words@0.1" in page
    assert "<script" not in page
    assert "http" not in page
