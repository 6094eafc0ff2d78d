"""report.html of a chain: its models compared, its iterations, the health of its trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal_of
from selfinstruct.evaluate.titles import in_order, title_of
from selfinstruct.train.health.page import Chart, Line, chart


def write_page(report: Mapping[str, Any], out: Path) -> None:
    """Write report.html without script or network; all model text is escaped.

    Raises:
        ConfigError: the folder cannot be written.
        WriteError: the disk is full or broken.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("selfinstruct.align", "."),
                jinja2.PackageLoader("selfinstruct.train.health", "."),  # charts.html.jinja
            ]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    models = report["evaluation"]["models"]
    measured = [metric for means in models.values() for metric in means]
    titles = {title.name: title.page for title in in_order(measured)}
    page = environment.get_template("report.html.jinja").render(
        report=report,
        titles=titles,
        title_of=title_of,
        shown=_shown,
        percent=_percent,
        between=_between,
        charts=_charts(report.get("curve")),
    )
    with refusal_of(out):
        atomic.write_text(out / "report.html", page)


def _charts(curve: Mapping[str, Any] | None) -> list[Chart]:
    """Return the charts of the iterations; none without iterations."""
    if curve is None:
        return []
    points = curve["points"]
    root = {point["policy"]: math.sqrt(max(point["divergence"], 0.0)) for point in points}
    charts = [
        chart("reward", {"reward": _line(points, "reward")}, "iteration"),
        chart("gold score", {"gold": _line(points, "gold")}, "iteration"),
        chart("divergence, nats", {"divergence": _line(points, "divergence")}, "iteration"),
        # As Gao et al. 2023 (arXiv:2210.10760), fig. 1, draw over-optimisation; in standard
        # deviations, so that both share an axis.
        chart(
            "reward and gold score since the start, standard deviations",
            {
                name: [
                    (root[point["policy"]], value["mean"] / curve["units"][name])
                    for point, value in _known(points, f"{name}_gain")
                ]
                for name in ("reward", "gold")
            },
            "√KL",
        ),
    ]
    return [each for each in charts if each is not None]


def _known(points: Sequence[Mapping[str, Any]], key: str) -> list[tuple[Any, Any]]:
    return [(one, one[key]) for one in points if one[key]["mean"] is not None]


def _line(points: Sequence[Mapping[str, Any]], key: str) -> Line:
    return [(float(one["iteration"]), one[key]) for one in points if one[key] is not None]


def _between(
    interval: Mapping[str, float | None] | None, key: str = "difference", scale: float = 1
) -> str:
    """Return a value with its 95 % interval, or a dash where there is none."""
    if interval is None or any(value is None for value in interval.values()):
        return "–"
    values = (scale * float(interval[name] or 0.0) for name in (key, "low", "high"))
    return "{:.3f} ({:.3f} to {:.3f})".format(*values)


def _shown(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
