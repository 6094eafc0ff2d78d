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

Line = list[tuple[float, float]]
Chart = dict[str, Any]


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
    lines: dict[str, Mapping[str, Line]] = {
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
    return rendered("health.html.jinja", result, [chart(*each) for each in lines.items()])


def rendered(template: str, result: Any, charts: Sequence[Chart | None]) -> str:
    """Return the page of a result with its charts, without those that have nothing to draw."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("selfinstruct.train.health", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        result=result, health=result.health, charts=[each for each in charts if each is not None]
    )


def _line(history: Sequence[Point], name: str, zero: float = 0.0) -> Line:
    points = ((float(point.step), getattr(point, name) - zero) for point in history)
    return [(step, value) for step, value in points if math.isfinite(value)]


def chart(title: str, series: Mapping[str, Line], across: str = "step") -> Chart | None:
    """Return the positions of a line chart's marks, or None if there is nothing to draw.

    Args:
        title: of the chart.
        series: its lines, by name.
        across: what its x axis is.
    """
    points = [point for line in series.values() for point in line]
    if not points:
        return None
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(0.0, *(y for _, y in points)), max(0.0, *(y for _, y in points))
    wide, tall = (right - left) or 1.0, (high - low) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        right_of = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (x - left) / wide
        down = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - y) / tall
        return round(right_of, 1), round(down, 1)

    return {
        "title": title,
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "zero": place(left, 0.0)[1],
        "marks": [(place(left, value)[1], f"{value:.3g}") for value in dict.fromkeys((low, high))],
        "ends": (f"{left:.5g}", f"{across} {right:.5g}"),
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
