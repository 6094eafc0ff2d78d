"""When an answer is exactly the reference: versions of the rule, and a test of the difference.

An evaluation keeps the version that it began with, so that its numbers stay what they were.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from selfinstruct.filters.similarity import forgiving, normalised

LATEST = 2
SETTING = "exact_match_version"
"""The key of the version in the settings of report.json; evaluations without it have version 1."""

VERSIONS: Mapping[int, Callable[[str], str]] = {1: normalised, 2: forgiving}
"""What two answers must have in common to count as the same, by version."""


def is_exact(answer: str, reference: str, version: int = LATEST) -> bool:
    """Whether an answer is the reference, by a version of the rule."""
    same = VERSIONS[version]
    return same(answer) == same(reference)


def version_of(
    out: Path, setting: str = SETTING, versions: Collection[int] = tuple(VERSIONS)
) -> int:
    """Return the version of an evaluation that a folder holds, or the latest for a new one.

    Args:
        out: the folder.
        setting: the key of the version in report.json; where it is missing, it is 1.
        versions: those that there are.
    """
    latest = max(versions)
    try:
        settings = json.loads((out / "report.json").read_text(encoding="utf-8"))["settings"]
        version = int(settings.get(setting, 1))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return latest
    return version if version in versions else latest


def mcnemar(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the two-sided p value of McNemar's exact test (1947) of two models on the same tasks.

    Of the tasks that only one of the two has right, each has half of them by chance. None where
    a value is neither 0 nor 1 (means over several samples).

    Args:
        first: whether a model is right, by task; NaN where it was not asked.
        second: the same of the other model.
    """
    pairs = [
        (a, b) for a, b in zip(first, second, strict=True) if not (math.isnan(a) or math.isnan(b))
    ]
    if any(value not in (0.0, 1.0) for pair in pairs for value in pair):
        return None
    only_first = sum(a > b for a, b in pairs)
    only_second = sum(b > a for a, b in pairs)
    count, fewer = only_first + only_second, min(only_first, only_second)
    tail: int = sum(math.comb(count, number) for number in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**count))
