"""Differences between models on the same tasks, with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """`difference` is the mean of a − b over `n` tasks; `low` to `high` its 95 % interval."""

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    n: int


def paired_difference(
    first: Sequence[float], second: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float, int]:
    """Return (mean difference, low, high, tasks) of two models on the same tasks.

    The interval is the 95 % percentile interval of the paired bootstrap (Efron 1979): tasks
    are drawn with replacement, each with both of its values. Tasks where either value is NaN
    are left out.
    """
    differences = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    differences = differences[~np.isnan(differences)]
    count = len(differences)
    if not count:
        return float("nan"), float("nan"), float("nan"), 0
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start in range(0, resamples, 1000):  # a thousand at a time keeps memory small
        size = min(1000, resamples - start)
        drawn = rng.integers(count, size=(size, count))
        means[start : start + size] = differences[drawn].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(differences.mean()), float(low), float(high), count


def compare_all(measured: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Comparison]:
    """Compare every later model with every earlier one on every metric.

    Args:
        measured: values by task, by metric, by model; the first model is the baseline.
    """
    found = []
    for earlier, later in combinations(measured, 2):
        for metric in measured[later]:
            one = paired(later, earlier, metric, measured[later][metric], measured[earlier][metric])
            if one.n:
                found.append(one)
    return found


def paired(
    a: str, b: str, metric: str, first: Sequence[float], second: Sequence[float]
) -> Comparison:
    """Return how much a is above b, from values of the same tasks."""
    difference, low, high, count = paired_difference(first, second)
    return Comparison(a, b, metric, difference, low, high, count)
