"""How far raters agree beyond chance: Krippendorff's alpha for ordered ratings.

Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011. It takes any number of raters
and units that not all have rated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def ordinal_alpha(units: Sequence[Sequence[int]]) -> float | None:
    """Return alpha = 1 - observed / expected disagreement, over pairs of ratings.

    Args:
        units: for each rated unit the ranks that it was given; those with one rating are
            left out.

    Returns:
        1 for full agreement, 0 for that of chance, below 0 for less; None where no unit has
        two ratings, 1 where all ratings are the same.
    """
    paired = [unit for unit in units if len(unit) > 1]
    totals = Counter(rank for unit in paired for rank in unit)
    pairs = sum(totals.values())
    if not pairs:
        return None
    observed = sum(
        _distance(one, other, totals) / (len(unit) - 1)
        for unit in paired
        for one in unit
        for other in unit
    )
    expected = sum(
        totals[one] * totals[other] * _distance(one, other, totals)
        for one in totals
        for other in totals
    ) / (pairs - 1)
    return 1 - observed / expected if expected else 1.0


def _distance(one: int, other: int, totals: Mapping[int, int]) -> float:
    """Return the squared ordinal distance: how many ratings lie between two ranks."""
    low, high = sorted((one, other))
    between = sum(totals[rank] for rank in totals if low <= rank <= high)
    return float(between - (totals[one] + totals[other]) / 2) ** 2
