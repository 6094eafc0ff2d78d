"""Scores of answers by a sequence classifier: kept as they come, and found again by the text."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.jsonlines import append_lines, parse_lines
from selfinstruct.common.records import NAN
from selfinstruct.engines.isolated import Advance
from selfinstruct.evaluate.answers import ModelAnswers
from selfinstruct.evaluate.metrics import mean
from selfinstruct.evaluate.tasks import EvalTask
from selfinstruct.labellers.classifier import LabelledModel
from selfinstruct.labellers.expected import Expected

log = logging.getLogger(__name__)

SCORES = "scores.jsonl"


@dataclass(frozen=True)
class TextScorer:
    """A classifier with its label, and what has it score texts, in a process of its own."""

    labelled: LabelledModel
    ask: Callable[[Sequence[str], Advance], list[float]]


def scores_of(
    scorer: TextScorer, answered: Mapping[str, ModelAnswers], path: Path, advance: Advance
) -> dict[str, list[float]]:
    """Return the scores of all answers by model, in their order; NaN for what has none.

    Only texts whose scores are not kept in `path` are scored.

    Raises:
        ConfigError: the classifier cannot be loaded.
        WriteError: the disk refuses.
    """
    texts = {
        answer.text: fingerprint({"scorer": scorer.labelled.known_by, "text": answer.text})
        for own in answered.values()
        for answer in own.answers
        if answer.error is None and answer.text
    }
    kept = _read(path)
    owed = [text for text, key in texts.items() if key not in kept]
    if owed:
        found = scorer.ask(owed, advance)
        rows = [
            {"key": texts[text], "score": None if math.isnan(score) else score}
            for text, score in zip(owed, found, strict=True)
        ]
        append_lines(path, rows)
        kept |= {texts[text]: score for text, score in zip(owed, found, strict=True)}
    unscored = sum(math.isnan(kept[key]) for key in texts.values())
    if unscored:
        log.warning(
            "%d of %d answers could not be scored and are left out (they are longer than the "
            "classifier's context); give a smaller --answer-tokens",
            unscored,
            len(texts),
        )
    return {
        name: [
            kept[texts[answer.text]] if answer.error is None and answer.text else NAN
            for answer in own.answers
        ]
        for name, own in answered.items()
    }


def scorer_values(tasks: Sequence[EvalTask], scores: Sequence[float]) -> dict[str, list[float]]:
    """Return the scores by task, means over its samples, and those of each expectation apart.

    Args:
        tasks: what was asked.
        scores: as many of each task as of any other, in the order of the tasks.
    """
    samples = len(scores) // len(tasks)
    all_ = [mean(scores[n * samples : (n + 1) * samples]) for n in range(len(tasks))]
    values = {"scorer": all_}
    for expected in Expected:
        if any(task.expect == expected for task in tasks):
            values[f"scorer_{expected}"] = [
                value if task.expect == expected else NAN
                for task, value in zip(tasks, all_, strict=True)
            ]
    return values


def _read(path: Path) -> dict[str, float]:
    """Return the kept scores by key; a line that a crash tore is scored again."""
    scores, damaged = parse_lines(path, _parse, "score")
    for line in damaged:
        log.warning("%s", line)
    return dict(scores)


def _parse(row: Mapping[str, Any]) -> tuple[str, float]:
    return row["key"], NAN if row["score"] is None else float(row["score"])
