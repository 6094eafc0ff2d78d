"""Confidence intervals of shares and of paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000


def wilson(successes: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927); (0, 1) if `count` is 0."""
    if not count:
        return 0.0, 1.0
    share = successes / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z
        / (1 + z * z / count)
        * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    )
    return max(0.0, middle - half), min(1.0, middle + half)


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
