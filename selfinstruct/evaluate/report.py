"""The report of an evaluation: report.json for programs, report.html for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal_of
from selfinstruct.evaluate.compare import Comparison
from selfinstruct.evaluate.evaluation import Evaluation
from selfinstruct.evaluate.exact import SETTING
from selfinstruct.evaluate.kept import plain
from selfinstruct.evaluate.metrics import exact_match, rouge_l
from selfinstruct.evaluate.tasks import EvalTask
from selfinstruct.evaluate.titles import in_order, title_of
from selfinstruct.labellers import refusals

# Ranked texts on the page.
_SHOWN = 200
_WIDTH, _ROW, _LEFT, _RIGHT = 760, 26, 300, 110


def write_report(evaluation: Evaluation, out: Path) -> dict[str, Any]:
    """Write report.json and a self-contained report.html; return the content of report.json.

    `comparisons` is a list of `a`, `b`, `metric`, `difference` (a − b), `low`, `high`, `n`, and
    for what is right or wrong the p value of McNemar's test, `mcnemar`. `intervals` has the 95 %
    interval of each share, by metric, by model.

    Raises:
        ConfigError: the folder cannot be written.
        WriteError: the disk is full or broken.
    """
    report = {
        "settings": dict(evaluation.settings),
        "models": {
            name: {metric: plain(value) for metric, value in means.items()}
            for name, means in evaluation.means.items()
        },
        "comparisons": [_compared(comparison) for comparison in evaluation.comparisons],
        "wins": [asdict(win_rate) for win_rate in evaluation.wins],
        "ratings": [asdict(rating) for rating in evaluation.ratings],
    }
    if any(evaluation.intervals.values()):
        report["intervals"] = {
            name: {metric: list(interval) for metric, interval in own.items()}
            for name, own in evaluation.intervals.items()
        }
    with refusal_of(out):
        out.mkdir(parents=True, exist_ok=True)
        atomic.write_json(out / "report.json", report)
        atomic.write_text(out / "report.html", _page(evaluation))
    return report


def _compared(comparison: Comparison) -> dict[str, Any]:
    row = asdict(comparison)
    return row if comparison.mcnemar is not None else {k: row[k] for k in row if k != "mcnemar"}


def _page(evaluation: Evaluation) -> str:
    """Return the page: no script, no network, model text escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("selfinstruct.evaluate", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    metrics = [title.name for title in in_order(one.metric for one in evaluation.comparisons)]
    rows = [
        {
            "task": task,
            "answers": [
                _shown_answer(evaluation, task, name, number * evaluation.asked.samples)
                for name in evaluation.answers
            ],
        }
        for number, task in enumerate(evaluation.asked.tasks)
    ]
    measured = [metric for means in evaluation.means.values() for metric in means]
    shown = {title.name: title.page for title in in_order(measured)}
    return environment.get_template("report.html.jinja").render(
        titles=shown,
        wins=evaluation.wins,
        ratings=evaluation.ratings,
        means=evaluation.means,
        intervals=evaluation.intervals,
        ranked=_ranked(evaluation),
        left_out=max(0, _count_ranked(evaluation) - _SHOWN),
        settings=evaluation.settings,
        plots=[(title_of(metric).page, _plot_of(evaluation, metric)) for metric in metrics],
        rows=rows,
    )


def _shown_answer(evaluation: Evaluation, task: EvalTask, model: str, place: int) -> dict[str, Any]:
    """Return an answer with what the page says of it, a line of small print."""
    answer = evaluation.answers[model][place]
    notes = [f"ROUGE-L {rouge_l(task, answer):.2f}"] if task.reference else []
    if exact_match(task, answer, evaluation.settings.get(SETTING, 1)) == 1:
        notes.append("exact")
    if task.expect:
        version = evaluation.settings.get(refusals.SETTING, refusals.LATEST)
        notes.append(
            "declines" if refusals.is_refusal(answer.text, version) else "does not decline"
        )
    if evaluation.scores and not math.isnan(score := evaluation.scores[model][place]):
        notes.append(f"{evaluation.settings['scorer']['label']} {score:.2f}")
    if not answer.stopped:
        notes.append("cut off")
    return {"model": model, "text": answer.text, "notes": ", ".join(notes)}


def _count_ranked(evaluation: Evaluation) -> int:
    return len(evaluation.asked.choices) + len(evaluation.asked.pairs)


def _ranked(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the first ranked texts, with what each model made of them."""
    items = [*evaluation.asked.choices, *evaluation.asked.pairs][:_SHOWN]
    rows = []
    for number, item in enumerate(items):
        scores = [own[number].per_token for own in evaluation.ranked.values()]
        options = [
            {
                "text": text,
                "right": place == item.right,
                "cells": [{"value": own[place], "best": own[place] == max(own)} for own in scores],
            }
            for place, text in enumerate(item.options)
        ]
        rows.append({"id": item.id, "text": item.turns[-1]["content"], "options": options})
    return rows


def _plot_of(evaluation: Evaluation, metric: str) -> dict[str, Any]:
    return _plot([one for one in evaluation.comparisons if one.metric == metric])


def _plot(comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the positions of a forest plot's marks: differences and their intervals."""
    low = min(0.0, *(one.low for one in comparisons))
    high = max(0.0, *(one.high for one in comparisons))
    room = (high - low) or 1.0

    def across(value: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - low) / room, 1)

    return {
        "width": _WIDTH,
        "height": _ROW * len(comparisons) + 8,
        "zero": across(0.0),
        "rows": [
            {
                "name": f"{one.a} − {one.b}",
                "y": _ROW * number + 18,
                "low": across(one.low),
                "high": across(one.high),
                "middle": across(one.difference),
                "text": f"{one.difference:+.3f}",
                "decided": one.low > 0 or one.high < 0,
            }
            for number, one in enumerate(comparisons)
        ],
    }
