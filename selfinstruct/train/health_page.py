"""health.html: the verdict on a training on preferences, and its curves, in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2

if TYPE_CHECKING:
    from selfinstruct.train.dpo import DpoResult
    from selfinstruct.train.health import Point

_WIDTH, _HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 26
_COLOURS = ("#2e9e5b", "#c2452d")


def health_page(result: DpoResult) -> str:
    """Return the page: no script, no network."""
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
        loader=jinja2.PackageLoader("selfinstruct.train", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    charts = [(title, _chart(series)) for title, series in lines.items()]
    return environment.get_template("health.html.jinja").render(
        result=result, health=result.health, charts=[one for one in charts if one[1]]
    )


def _line(history: Sequence[Point], name: str, zero: float = 0.0) -> list[tuple[float, float]]:
    points = ((float(point.step), getattr(point, name) - zero) for point in history)
    return [(step, value) for step, value in points if math.isfinite(value)]


def _chart(series: Mapping[str, list[tuple[float, float]]]) -> dict[str, Any] | None:
    """Return where the marks of a line chart stand; None where there is nothing to draw."""
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
