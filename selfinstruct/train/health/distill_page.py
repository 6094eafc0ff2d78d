"""health.html of a distillation: the verdict and its curves, in one file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from selfinstruct.train.health.distill_verdict import DistillHealth, DistillPoint
from selfinstruct.train.health.page import Line, chart, rendered


class DistilledResult(Protocol):
    """The parts of a result that the page shows."""

    @property
    def losses(self) -> list[tuple[int, float]]: ...
    @property
    def history(self) -> list[DistillPoint]: ...
    @property
    def health(self) -> DistillHealth: ...


def distill_page(result: DistilledResult) -> str:
    """Return the page. It has no script, and loads nothing."""
    history = result.history
    charts = [
        chart(
            "log-likelihood of the teacher's answers, nats per token",
            {
                "student": _line(history, lambda one: one.likelihood),
                "teacher": _line(history, lambda _: result.health.teacher),
            },
        ),
        chart(
            "divergence, nats per token",
            {
                "forward": _line(history, lambda one: one.forward),
                "reverse": _line(history, lambda one: one.reverse),
            },
        ),
        chart(
            "length of fresh answers, tokens", {"tokens": _line(history, lambda one: one.tokens)}
        ),
        chart(
            "fresh answers that never stop, share", {"": _line(history, lambda one: one.endless)}
        ),
        chart("loss in training", {"loss": [(float(step), loss) for step, loss in result.losses]}),
    ]
    return rendered("distill.html.jinja", result, charts)


def _line(history: Sequence[DistillPoint], value: Callable[[DistillPoint], float]) -> Line:
    points = ((float(point.step), value(point)) for point in history)
    return [(step, number) for step, number in points if math.isfinite(number)]
