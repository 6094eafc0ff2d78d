"""The answers of a model, kept as JSON, so that the same evaluation can continue from them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal_of
from selfinstruct.common.records import NAN
from selfinstruct.evaluate.answers import Answer, ModelAnswers
from selfinstruct.evaluate.plain_text import PassageScore
from selfinstruct.evaluate.rankings import RankedScore


def read_kept(path: Path, key: str) -> ModelAnswers | None:
    """Return the kept answers, if their question was the same."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] != key:
            return None
        return ModelAnswers(
            [Answer(**_known(row)) for row in kept["answers"]],
            [PassageScore(**_known(row)) for row in kept["passages"]],
            *([_ranked(row) for row in kept.get(name, [])] for name in _RANKINGS),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make_folder(path: Path) -> None:
    """Make the folder of the kept answers.

    Raises:
        ConfigError: it cannot be made.
        WriteError: the disk is full or broken.
    """
    with refusal_of(path, "made"):
        path.mkdir(parents=True, exist_ok=True)


def keep(path: Path, key: str, own: ModelAnswers) -> None:
    """Keep the answers of a model under the key of the question.

    Raises:
        ConfigError: they cannot be written.
        WriteError: the disk is full or broken.
    """
    content: dict[str, Any] = {"key": key}
    for name, rows in (("answers", own.answers), ("passages", own.passages)):
        content[name] = [{k: plain(v) for k, v in asdict(row).items()} for row in rows]
    for name in _RANKINGS:
        if scores := getattr(own, name):
            content[name] = [
                {"logprobs": list(map(plain, one.logprobs)), "tokens": list(one.tokens)}
                for one in scores
            ]
    with refusal_of(path):
        atomic.write_json(path, content)


def plain(value: Any) -> Any:
    """Return NaN, which JSON lacks, as null."""
    return None if isinstance(value, float) and math.isnan(value) else value


_RANKINGS = ("choices", "pairs")
_SCORES = ("reference_logprob", "logprob", "last_word")


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """Return a kept row with its unknown scores as NaN again."""
    return {k: NAN if v is None and k in _SCORES else v for k, v in row.items()}


def _ranked(row: dict[str, Any]) -> RankedScore:
    logprobs = (NAN if value is None else value for value in row["logprobs"])
    return RankedScore(tuple(logprobs), tuple(row["tokens"]))
