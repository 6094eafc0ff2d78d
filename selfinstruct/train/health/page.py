"""health.html: the verdict on a training on preferences, and its curves, in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jinja2

from selfinstruct.train.health.verdict import Health, Point

_WIDTH, _HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 26
_COLOURS = ("#2e9e5b", "#c2452d")


class WatchedResult(Protocol):
    """The parts of a result that the page shows; any training on pairs has them."""

    @property
    def train_pairs(self) -> int: ...
    @property
    def held_out_pairs(self) -> int: ...
    @property
    def dropped(self) -> Mapping[str, int]: ...
    @property
    def steps(self) -> int: ...
    @property
    def losses(self) -> list[tuple[int, float]]: ...
    @property
    def history(self) -> list[Point]: ...
    @property
    def health(self) -> Health: ...


def health_page(result: WatchedResult) -> str:
    """Return the page. It has no script, and loads nothing."""
    history = result.history
    start = history[0]
    lines: dict[str, Mapping[str, list[tuple[float, float]]]] = {
        "accuracy on held-out pairs": {"accuracy": _line(history, "accuracy")},
        "margin of implicit rewards": {"margin": _line(history, "margin")},
        "log-probability since the start, nats an answer": {
            "chosen": _line(history, "chosen", start.chosen),
            "rejected": _line(history, "rejected", start.rejected),
        },
        "divergence of fresh answers, nats": {"divergence": _line(history, "divergence")},
        "length of fresh answers, tokens": {"tokens": _line(history, "tokens")},
        "loss in training": {"loss": [(float(step), loss) for step, loss in result.losses]},
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("selfinstruct.train.health", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = [(title, _chart(series)) for title, series in lines.items()]
    return environment.get_template("health.html.jinja").render(
        result=result,
        health=result.health,
        charts=[(title, chart) for title, chart in charts if chart],
    )


def _line(history: Sequence[Point], name: str, zero: float = 0.0) -> list[tuple[float, float]]:
    points = ((float(point.step), getattr(point, name) - zero) for point in history)
    return [(step, value) for step, value in points if math.isfinite(value)]


def _chart(series: Mapping[str, list[tuple[float, float]]]) -> dict[str, Any] | None:
    """Return the positions of a line chart's marks, or None if there is nothing to draw."""
    points = [point for line in series.values() for point in line]
    if not points:
        return None
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(0.0, *(y for _, y in points)), max(0.0, *(y for _, y in points))
    wide, tall = (right - left) or 1.0, (high - low) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (x - left) / wide
        down = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - y) / tall
        return round(across, 1), round(down, 1)

    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "zero": place(left, 0.0)[1],
        "marks": [(place(left, value)[1], f"{value:.3g}") for value in dict.fromkeys((low, high))],
        "steps": (f"{left:.0f}", f"{right:.0f}"),
        "lines": [
            {
                "name": name,
                "colour": colour,
                "points": [place(x, y) for x, y in line],
                "last": f"{line[-1][1]:.3g}",
            }
            for (name, line), colour in zip(series.items(), _COLOURS, strict=False)
            if line
        ],
    }
