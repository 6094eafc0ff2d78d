"""Differences between models on the same tasks, with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from selfinstruct.common.statistics import paired_difference
from selfinstruct.evaluate.exact import mcnemar
from selfinstruct.evaluate.titles import title_of


@dataclass(frozen=True, slots=True)
class Comparison:
    """`difference` is the mean of a − b over `n` tasks; `low` to `high` its 95 % interval.

    `mcnemar` is the p value of McNemar's test, for what is right or wrong.
    """

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    n: int
    mcnemar: float | None = None


def compare_all(measured: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Comparison]:
    """Compare every later model with every earlier one on every metric.

    Args:
        measured: values by task, by metric, by model; the first model is the baseline.
    """
    comparisons = []
    for earlier, later in combinations(measured, 2):
        for metric in measured[later]:
            values = measured[later][metric], measured[earlier][metric]
            comparisons.append(paired(later, earlier, metric, *values))
    return [comparison for comparison in comparisons if comparison.n]


def paired(
    a: str, b: str, metric: str, first: Sequence[float], second: Sequence[float]
) -> Comparison:
    """Return how much a is above b, from values of the same tasks."""
    difference, low, high, count = paired_difference(first, second)
    p = mcnemar(first, second) if metric == "exact_match" or title_of(metric).share else None
    return Comparison(a, b, metric, difference, low, high, count, p)
