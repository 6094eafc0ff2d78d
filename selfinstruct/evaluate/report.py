"""The report of an evaluation: report.json for programs, report.html for people."""

from __future__ import annotations

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

TITLES = {
    "rouge_l": "ROUGE-L",
    "rouge_l_cut": "ROUGE-L, answers cut to the length of the reference",
    "rouge_l_equal": "ROUGE-L at equal length: both cut to the shorter of the two",
    "exact_match": "exact match (closed tasks)",
    "reference_logprob": "log-likelihood of the reference, nats per token",
    "length": "length, words",
    "repetition": "repeated trigrams, share",
    "empty": "empty answers, share",
    "never_stopping": "answers that ran into the token limit, share",
    "last_word": "plain text: last word right, share",
    "passage_logprob": "plain text: log-likelihood, nats per word",
    "perplexity": "plain text: perplexity per word",
    "win_rate": "judge: share of wins less share of losses",
    "win_rate_balance": "judge, on balance of both orders: share of wins less share of losses",
}
_WIDTH, _ROW, _LEFT, _RIGHT = 760, 26, 300, 110


def write_report(evaluation: Evaluation, out: Path) -> dict[str, Any]:
    """Write report.json and a self-contained report.html; return the content of report.json.

    `comparisons` is a list of `a`, `b`, `metric`, `difference` (a − b), `low`, `high`, `n`, and
    for `exact_match` the p value of McNemar's test, `mcnemar`.

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
    metrics = [
        metric for metric in TITLES if any(one.metric == metric for one in evaluation.comparisons)
    ]
    samples = evaluation.asked.samples
    version = evaluation.settings.get(SETTING, 1)
    rows = [
        {
            "task": task,
            "answers": [
                {
                    "model": name,
                    "text": evaluation.answers[name][number * samples].text,
                    "rouge_l": rouge_l(task, evaluation.answers[name][number * samples]),
                    "exact": exact_match(task, evaluation.answers[name][number * samples], version),
                    "stopped": evaluation.answers[name][number * samples].stopped,
                }
                for name in evaluation.answers
            ],
        }
        for number, task in enumerate(evaluation.asked.tasks)
    ]
    shown = {
        metric: title
        for metric, title in TITLES.items()
        if any(metric in means for means in evaluation.means.values())
    }
    return environment.get_template("report.html.jinja").render(
        titles=shown,
        wins=evaluation.wins,
        ratings=evaluation.ratings,
        means=evaluation.means,
        settings=evaluation.settings,
        plots=[
            (TITLES[metric], _plot([one for one in evaluation.comparisons if one.metric == metric]))
            for metric in metrics
        ],
        rows=rows,
    )


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
