"""How often the filters err: estimates from ratings of a stratified sample, with intervals.

All rates are of candidates of one table, over the whole population that was sampled from:

- false rejects of a rule: good ones among what it rejected, over what it rejected;
- false accepts: bad ones among the accepted, over the accepted (1 - precision);
- recall: accepted good ones over all good ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfinstruct.audit.sample import Sample
from selfinstruct.audit.whatif import WhatIf
from selfinstruct.store import Run


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share and its 95 % interval; `value` is None where nothing was rated that it is of."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StratumRate:
    """The share of good ones in one stratum.

    size: candidates. drawn, rated: how many of them; `rated` counts settled labels. good: of
    the rated. share: good ones in all of the stratum. For a reason it is its false-reject
    rate; for `accepted` the false-accept rate is one minus it.
    """

    outcome: str
    size: int
    drawn: int
    rated: int
    good: int
    share: Estimate


@dataclass(frozen=True)
class ErrorRates:
    """Of one table.

    strata: `accepted` first, then reasons by size.
    false_accept: share of bad ones among the accepted.
    false_reject: share of good ones among all that was rejected.
    precision: share of good ones among the accepted. recall: accepted of all good ones.
    unrated: outcomes without a rating; they count as unknown, from none good to all.
    """

    table: str
    strata: Sequence[StratumRate]
    false_accept: Estimate
    false_reject: Estimate
    precision: Estimate
    recall: Estimate
    unrated: Sequence[str]


@dataclass(frozen=True)
class Measured:
    """The error rates of a run, and what they rest on.

    tables: by `instructions` and `instances`, those that were sampled.
    unsettled: rated ids whose raters are even; they count as not rated.
    agreement: Krippendorff's ordinal alpha; None with one rater.
    stale: whether the run has other candidates now than when the sample was drawn.
    """

    sample: int
    rated: int
    unsettled: int
    raters: Sequence[str]
    agreement: float | None
    stale: bool
    tables: Mapping[str, ErrorRates]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a choice of thresholds costs: see the module; `kept` counts candidates."""

    kept: int
    false_accept: Estimate
    false_reject: Estimate
    precision: Estimate
    recall: Estimate


@dataclass(frozen=True)
class WhatIfRates:
    """Estimates for the recorded thresholds and for others, of one table."""

    table: str
    before: Rates
    after: Rates


def error_rates(sample: Sample, table: str, good: Mapping[str, bool]) -> ErrorRates:
    """Estimate the error rates of one table from a sample and the settled labels of its ids."""
    raise NotImplementedError


def measure(run: Run) -> Measured | None:
    """Return the error rates of a run; None where no sample was drawn or nothing was rated.

    Raises:
        StoreError: the sample is damaged.
    """
    raise NotImplementedError


def what_if_rates(run: Run, found: WhatIf) -> list[WhatIfRates]:
    """Estimate the error rates that other thresholds would have, by table that was sampled.

    Kept is what is accepted, or would be but for instances that nobody asked for yet.

    Raises:
        ConfigError: the run has changed since the sample was drawn.
    """
    raise NotImplementedError
