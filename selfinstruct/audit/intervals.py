"""Intervals for shares of a finite population, of one stratum and of several together.

One stratum: the mid-p interval of the hypergeometric distribution. Of N candidates K are
good; n were drawn without replacement, x of them good. The interval has every K
under which x or a more extreme count has a chance above 2.5 % on either side; x itself counts half
(Lancaster 1961; Agresti and Gottard 2007). Its coverage is close to 95 %, where the exact interval
covers too much. Once all are rated, it is a point.

Several strata: MOVER (Zou and Donner, Statistics in Medicine 27, 2008). On either
side, the squares of the distances from estimate to limit are added, like those of standard errors.
So the limits are as asymmetric as their parts, and a point if all of those are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

# On each side of a 95 % interval.
_TAIL = 0.025


@dataclass(frozen=True, slots=True)
class Interval:
    """A count and its 95 % limits."""

    value: float
    low: float
    high: float


@lru_cache(maxsize=65536)
def good_in_population(size: int, rated: int, good: int) -> Interval:
    """Estimate how many of `size` candidates are good, if `good` of `rated` are.

    At least one must be rated.
    """
    least, most = good, size - (rated - good)

    def above(count: int) -> float:
        """Return the chance of `good` or more; it grows with the count."""
        return _mid_p(range(good, min(rated, count) + 1), good, size, count, rated)

    def below(count: int) -> float:
        return _mid_p(range(good, -1, -1), good, size, count, rated)

    low = _first(least, most, lambda count: above(count) > _TAIL)
    high = most - _first(0, most - least, lambda drop: below(most - drop) > _TAIL)
    return Interval(size * good / rated, low, high)


def total(parts: Sequence[Interval]) -> Interval:
    """Return the sum of independent counts."""
    value = sum(part.value for part in parts)
    below = math.hypot(*(part.value - part.low for part in parts))
    above = math.hypot(*(part.high - part.value for part in parts))
    least = sum(part.low for part in parts)
    most = sum(part.high for part in parts)
    return Interval(value, max(least, value - below), min(most, value + above))


def share_of_sum(part: Interval, rest: Interval) -> Interval | None:
    """Return part / (part + rest), of independent counts; None if both are 0.

    Its limits are the lowest and highest share r at which the interval of
    part - r * (part + rest), by MOVER, contains 0 (Fieller's method).
    """
    whole = part.value + rest.value
    if part.high + rest.high == 0:
        return None
    if whole == 0:
        return Interval(0.0, 0.0, 1.0)
    share = part.value / whole

    def distance(r: float, one: float, other: float) -> float:
        """Return how far the estimate at r is from 0, over the reach of its limit, squared."""
        estimate = (1 - r) * part.value - r * rest.value
        reach = ((1 - r) * (one - part.value)) ** 2 + (r * (rest.value - other)) ** 2
        return estimate * estimate - reach

    low = _root(share, 0.0, lambda r: distance(r, part.low, rest.high))
    high = _root(share, 1.0, lambda r: distance(r, part.high, rest.low))
    return Interval(share, low, high)


def _root(start: float, end: float, excess: Callable[[float], float]) -> float:
    """Return where `excess` turns positive between start and end; end if nowhere."""
    if excess(end) <= 0:
        return end
    for _ in range(60):
        middle = (start + end) / 2
        start, end = (start, middle) if excess(middle) > 0 else (middle, end)
    return end


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the first number from low to high for which a monotone condition holds."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _mid_p(outcomes: range, half: int, size: int, count: int, rated: int) -> float:
    """Return the hypergeometric chance of the outcomes; `half` counts half."""
    chances = (_chance(outcome, size, count, rated) for outcome in outcomes)
    return sum(chances) - _chance(half, size, count, rated) / 2


def _chance(good: int, size: int, count: int, rated: int) -> float:
    """Return the chance that `good` of `rated` are among the `count` good of `size`."""
    if not max(0, rated - (size - count)) <= good <= min(rated, count):
        return 0.0
    ways = _log_choose(count, good) + _log_choose(size - count, rated - good)
    return math.exp(ways - _log_choose(size, rated))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
