"""How far raters agree beyond chance: Krippendorff's alpha for ordered ratings.

Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011. It takes any number of raters, and
not every rater has to rate every unit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def ordinal_alpha(units: Sequence[Sequence[int]]) -> float | None:
    """Return alpha = 1 - observed / expected disagreement, over pairs of ratings.

    Args:
        units: the ranks of each rated unit; units with one rating are left out.

    Returns:
        1 for full agreement, 0 for agreement by chance, below 0 for less; None if no unit has two
        ratings, 1 if all ratings are the same.
    """
    paired = [unit for unit in units if len(unit) > 1]
    totals = Counter(rank for unit in paired for rank in unit)
    pairs = sum(totals.values())
    if not pairs:
        return None
    observed = sum(
        _distance(first, second, totals) / (len(unit) - 1)
        for unit in paired
        for first in unit
        for second in unit
    )
    expected = sum(
        totals[first] * totals[second] * _distance(first, second, totals)
        for first in totals
        for second in totals
    ) / (pairs - 1)
    return 1 - observed / expected if expected else 1.0


def _distance(first: int, second: int, totals: Mapping[int, int]) -> float:
    """Return the squared ordinal distance: how many ratings lie between two ranks."""
    low, high = sorted((first, second))
    between = sum(totals[rank] for rank in totals if low <= rank <= high)
    return float(between - (totals[first] + totals[second]) / 2) ** 2
