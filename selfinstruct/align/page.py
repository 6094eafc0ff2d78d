"""report.html of a chain: its stages, the health of its DPO, and the three models compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal_of
from selfinstruct.evaluate.titles import in_order, title_of


def write_page(report: Mapping[str, Any], out: Path) -> None:
    """Write report.html without script or network; all model text is escaped.

    Raises:
        ConfigError: the folder cannot be written.
        WriteError: the disk is full or broken.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("selfinstruct.align", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    models = report["evaluation"]["models"]
    measured = [metric for means in models.values() for metric in means]
    titles = {title.name: title.page for title in in_order(measured)}
    page = environment.get_template("report.html.jinja").render(
        report=report, titles=titles, title_of=title_of, shown=_shown, percent=_percent
    )
    with refusal_of(out):
        atomic.write_text(out / "report.html", page)


def _shown(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
