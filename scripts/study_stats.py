"""Statistics of the studies: rank correlation, AUROC, bootstrap intervals."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np


def ranks(values: Sequence[float]) -> np.ndarray:
    """Return ranks from 0, ties sharing their mean."""
    array = np.asarray(values, dtype=float)
    order = np.argsort(array, kind="stable")
    found = np.empty(len(array))
    found[order] = np.arange(len(array))
    for value in np.unique(array):
        same = array == value
        found[same] = found[same].mean()
    return found


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation; NaN for fewer than two values."""
    if len(first) < 2:
        return float("nan")
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def auroc(
    rows: Sequence[int],
    values: Sequence[float],
    labels: Sequence[Sequence[bool]],
    groups: Sequence[Hashable],
) -> float:
    """Return the share of (good, bad) pairs of one group that a signal orders rightly.

    Args:
        rows: indices that count, with repeats (a bootstrap sample).
        values: the signal of each row; higher means good.
        labels: what each reader said of it; every reader's word is an observation.
        groups: pairs are made within one group only. Ties count half.
    """
    by_group: dict[Hashable, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for row in rows:
        for label in labels[row]:
            by_group[groups[row]][0 if label else 1].append(values[row])
    right, pairs = 0.0, 0
    for good, bad in by_group.values():
        one, other = np.asarray(good)[:, None], np.asarray(bad)[None, :]
        right += float((one > other).sum() + 0.5 * (one == other).sum())
        pairs += len(good) * len(bad)
    return right / pairs if pairs else float("nan")


def residuals(
    values: Sequence[float], explained_by: Sequence[float], groups: Sequence[Hashable]
) -> list[float]:
    """Return what is left of values once a straight line in each group is taken out."""
    left = np.zeros(len(values))
    for group in dict.fromkeys(groups):
        own = [row for row, name in enumerate(groups) if name == group]
        x, y = np.asarray(explained_by)[own], np.asarray(values)[own]
        slope = 0.0 if np.ptp(x) == 0 else np.polyfit(x, y, 1)[0]
        left[own] = y - y.mean() - slope * (x - x.mean())
    return [float(value) for value in left]


def interval(
    statistic: Callable[[Sequence[int]], float], count: int, repeats: int = 1000
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic over resampled rows."""
    rng = random.Random(0)
    found = [statistic(rng.choices(range(count), k=count)) for _ in range(repeats)]
    known = [value for value in found if not math.isnan(value)]
    return float(np.quantile(known, 0.025)), float(np.quantile(known, 0.975))


def kept_quality(
    values: Sequence[float],
    labels: Sequence[Sequence[bool]],
    groups: Sequence[Hashable],
    dropped: float,
) -> float:
    """Return the share of good ones once each group's lowest share by a signal is dropped."""
    by_group: dict[Hashable, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        by_group[group].append(row)
    kept = [
        row
        for rows in by_group.values()
        for row in sorted(rows, key=lambda row: values[row])[round(dropped * len(rows)) :]
    ]
    said = [label for row in kept for label in labels[row]]
    return sum(said) / len(said)
