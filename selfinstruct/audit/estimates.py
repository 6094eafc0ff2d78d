"""From rated candidates to shares with intervals: strata weighted by their sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfinstruct.audit.intervals import Interval, good_in_population, share_of_sum, total


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share and its 95 % interval; `value` is None without ratings."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Rates:
    """Error rates as defined in error_rates.py; `kept` counts candidates.

    Candidates that change sides may be of a kind that nobody rated. A `value` then assumes that
    they are as good as the others of their stratum; the interval assumes nothing.
    """

    kept: int
    false_accept: Estimate
    false_reject: Estimate
    precision: Estimate
    recall: Estimate


@dataclass(frozen=True, slots=True)
class Cell:
    """Candidates with the same outcome before and after.

    guess: share of the good to assume if none is rated; None: unknown.
    """

    size: int
    rated: int
    good: int
    kept: bool
    guess: float | None = None


def rates_of(cells: Sequence[Cell]) -> Rates:
    """Estimate precision, recall and the rest from cells that cover the whole population."""
    kept = [cell for cell in cells if cell.kept]
    fallen = [cell for cell in cells if not cell.kept]
    precision = share_of(kept)
    part, rest = _good_in(kept), _good_in(fallen)
    recall = share_of_sum(part, rest)
    is_known = _is_known(cells) and part.value + rest.value > 0
    return Rates(
        kept=sum(cell.size for cell in kept),
        false_accept=_complement(precision),
        false_reject=share_of(fallen),
        precision=precision,
        recall=_estimate(recall, is_known=is_known),
    )


def share_of(cells: Sequence[Cell]) -> Estimate:
    """Return the share of the good in several cells."""
    size = sum(cell.size for cell in cells)
    if not size:
        return Estimate(None, 0.0, 1.0)
    good = _good_in(cells)
    share = Interval(good.value / size, good.low / size, good.high / size)
    return _estimate(share, is_known=_is_known(cells))


def _good_in(cells: Sequence[Cell]) -> Interval:
    """Return how many are good in several cells; unrated cells widen it by their whole size."""
    known = total([good_in_population(c.size, c.rated, c.good) for c in cells if c.rated])
    unknown = [cell for cell in cells if not cell.rated]
    guessed = sum(cell.size * (cell.guess or 0.0) for cell in unknown)
    reach = sum(cell.size for cell in unknown)
    return Interval(known.value + guessed, known.low, known.high + reach)


def _is_known(cells: Sequence[Cell]) -> bool:
    return all(cell.rated or cell.guess is not None or not cell.size for cell in cells)


def _estimate(interval: Interval | None, *, is_known: bool) -> Estimate:
    if interval is None:
        return Estimate(None, 0.0, 1.0)
    return Estimate(
        interval.value if is_known else None, max(0.0, interval.low), min(1.0, interval.high)
    )


def _complement(share: Estimate) -> Estimate:
    value = None if share.value is None else 1 - share.value
    return Estimate(value, 1 - share.high, 1 - share.low)
