"""health.html of a training on rewards: the verdict and its curves, in one file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import pstdev
from typing import Protocol

from selfinstruct.train.health.page import Chart, Line, chart, rendered
from selfinstruct.train.health.rl_verdict import RlHealth, RlPoint


class RewardedResult(Protocol):
    """The parts of a result that the page shows."""

    @property
    def history(self) -> list[RlPoint]: ...
    @property
    def trained_rewards(self) -> list[tuple[int, float]]: ...
    @property
    def health(self) -> RlHealth: ...


def rl_page(result: RewardedResult) -> str:
    """Return the page. It has no script, and loads nothing."""
    history = result.history
    charts = [
        chart("reward of fresh answers", {"reward": _line(history, lambda one: one.reward)}),
        chart("gold score of fresh answers", {"gold": _line(history, lambda one: one.gold)}),
        against_divergence(history),
        chart(
            "divergence of fresh answers, nats",
            {"divergence": _line(history, lambda one: one.divergence)},
        ),
        chart(
            "entropy of the next word, nats", {"entropy": _line(history, lambda one: one.entropy)}
        ),
        chart(
            "length of fresh answers, tokens", {"tokens": _line(history, lambda one: one.tokens)}
        ),
        chart(
            "fresh answers that never stop, share", {"": _line(history, lambda one: one.endless)}
        ),
        chart(
            "reward in training",
            {"reward": [(float(step), value) for step, value in result.trained_rewards]},
        ),
    ]
    return rendered("rl.html.jinja", result, charts)


def against_divergence(history: Sequence[RlPoint]) -> Chart | None:
    """Return proxy and gold over the square root of the divergence; None without a gold score.

    Both since the first step, in standard deviations of the scores before it, so that they share
    an axis (as Gao et al. 2023, fig. 1).
    """
    start = history[0]
    if not start.golds:
        return None
    series = {
        "reward": _scaled(history, lambda one: one.scores),
        "gold": _scaled(history, lambda one: one.golds),
    }
    title = "reward and gold score since the start, standard deviations"
    return chart(title, series, across="√KL")


def _scaled(history: Sequence[RlPoint], values: Callable[[RlPoint], list[float]]) -> Line:
    known = [value for value in values(history[0]) if not math.isnan(value)]
    if not known:
        return []
    start, unit = sum(known) / len(known), pstdev(known) or 1.0
    line = []
    for point in history:
        now = [value for value in values(point) if not math.isnan(value)]
        if now:
            across = math.sqrt(max(point.divergence, 0.0))
            line.append((across, (sum(now) / len(now) - start) / unit))
    return line


def _line(history: Sequence[RlPoint], value: Callable[[RlPoint], float]) -> Line:
    points = ((float(point.step), value(point)) for point in history)
    return [(step, number) for step, number in points if math.isfinite(number)]
