"""How often the filters err: estimates from ratings of a stratified sample, with intervals.

All rates are of candidates of one table, over the whole population that was sampled from:

- false rejects of a rule: the good among its rejects, divided by its rejects;
- false accepts: the bad among the accepted, divided by the accepted (1 - precision);
- recall: the accepted good, divided by all good.

The ratings count as a simple random sample of their stratum: raters see all strata mixed, in
random order, and may stop anywhere. Strata are weighted by their sizes. A stratum without ratings
is unknown: from none good to all. Intervals: intervals.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfinstruct.audit.estimates import Cell, Estimate, Rates, rates_of, share_of
from selfinstruct.audit.sample import Sample, Stratum, newest_sample
from selfinstruct.audit.search import Filter, count_by_reason
from selfinstruct.audit.tables import TABLES
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.labels import Labels, agreement, read_labels, settled
from selfinstruct.store import Run
from selfinstruct.verdicts.whatif import PENDING, Change, WhatIf


@dataclass(frozen=True, slots=True)
class StratumRate:
    """The share of good candidates in one stratum.

    size: number of candidates. drawn: of the sample. rated: with a settled label. good: of the
    rated. share: estimate for the whole stratum. For a reason this is its false-reject rate; for
    `accepted`, one minus it is the false-accept rate.
    """

    outcome: str
    size: int
    drawn: int
    rated: int
    good: int
    share: Estimate


@dataclass(frozen=True)
class ErrorRates:
    """The error rates of one table.

    strata: `accepted` first, then reasons by size.
    false_accept: share of the bad among the accepted.
    false_reject: share of the good among the rejected.
    precision: share of the good among the accepted. recall: share of the accepted among the good.
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
    """The error rates of a run, and the ratings behind them.

    tables: error rates of the sampled tables, by name.
    unsettled: rated ids without a majority; they count as not rated.
    agreement: Krippendorff's ordinal alpha; None with one rater.
    stale: whether the run's candidates have changed since the sample was drawn.
    """

    sample: int
    rated: int
    unsettled: int
    raters: Sequence[str]
    agreement: float | None
    stale: bool
    tables: Mapping[str, ErrorRates]


@dataclass(frozen=True)
class WhatIfRates:
    """Estimates for the recorded thresholds and for others, of one table."""

    table: str
    before: Rates
    after: Rates


def error_rates(sample: Sample, table: str, good: Mapping[str, bool]) -> ErrorRates:
    """Estimate the error rates of one table from a sample and the settled labels of its ids."""
    strata = [one for one in sample.strata if one.table == table]
    strata.sort(key=lambda one: (one.outcome != ACCEPTED, -one.size))
    cells = [_cell(one, good, kept=one.outcome == ACCEPTED) for one in strata]
    rates = rates_of(cells)
    return ErrorRates(
        table=table,
        strata=[
            StratumRate(
                one.outcome, one.size, len(one.drawn), cell.rated, cell.good, share_of([cell])
            )
            for one, cell in zip(strata, cells, strict=True)
        ],
        false_accept=rates.false_accept,
        false_reject=rates.false_reject,
        precision=rates.precision,
        recall=rates.recall,
        unrated=[one.outcome for one, cell in zip(strata, cells, strict=True) if not cell.rated],
    )


def measure(run: Run) -> Measured | None:
    """Return the error rates of a run; None without a sample or without ratings.

    Raises:
        StoreError: the sample is damaged.
    """
    sample = newest_sample(run)
    if sample is None:
        return None
    labels = _of_sample(read_labels(run), sample)
    if not labels.current:
        return None
    good = settled(labels)
    rated = {id for id, _ in labels.current}
    tables = [table for table in TABLES if _sizes(sample, table)]
    return Measured(
        sample=sample.number,
        rated=len(rated),
        unsettled=len(rated - good.keys()),
        raters=labels.raters,
        agreement=agreement(labels),
        stale=any(_sizes(sample, t) != count_by_reason(run, Filter(t)) for t in tables),
        tables={table: error_rates(sample, table, good) for table in tables},
    )


def what_if_rates(run: Run, result: WhatIf) -> list[WhatIfRates]:
    """Estimate the error rates of other thresholds, for each sampled table.

    A candidate is kept if it is accepted, or lacks only instances that no model was asked for.

    Raises:
        ConfigError: the run has changed since the sample was drawn.
    """
    sample = newest_sample(run)
    if sample is None:
        return []
    labels = _of_sample(read_labels(run), sample)
    if not labels.current:
        return []
    good = settled(labels)
    changed = {
        "instructions": (result.before, result.changes),
        "instances": (result.instances_before, result.instance_changes),
    }
    rates = []
    for table, (before, changes) in changed.items():
        sizes = _sizes(sample, table)
        if not sizes:
            continue
        if sizes != {outcome: count for outcome, count in before.items() if count}:
            raise ConfigError(
                f"{run.path}: has other candidates than when sample {sample.number} was drawn; "
                f"draw another: selfinstruct audit sample {run.path} (ratings stay)"
            )
        rates.append(rates_after(sample, table, good, changes))
    return rates


def rates_after(
    sample: Sample, table: str, good: Mapping[str, bool], changes: Iterable[Change]
) -> WhatIfRates:
    """Estimate the rates before and after some candidates of a sampled table change sides.

    Args:
        sample: of the candidates as they were before.
        table: of them.
        good: settled labels by id.
        changes: every candidate of the table whose outcome changes.
    """
    drawn_ids = set(sample.ids)
    now, moved = dict[str, str](), Counter[tuple[str, str]]()
    for change in changes:  # one at a time: a large run has many
        moved[change.before, change.after] += 1
        if change.id in drawn_ids:
            now[change.id] = change.after
    before, after = [], []
    for stratum in (one for one in sample.strata if one.table == table):
        whole = _cell(stratum, good, kept=_is_kept(stratum.outcome))
        before.append(whole)
        sizes = {to: count for (origin, to), count in moved.items() if origin == stratum.outcome}
        sizes[stratum.outcome] = stratum.size - sum(sizes.values())
        for outcome, size in sizes.items():
            drawn = [id for id in stratum.drawn if now.get(id, stratum.outcome) == outcome]
            part = _cell(replace(stratum, size=size, drawn=drawn), good, kept=_is_kept(outcome))
            after.append(replace(part, guess=whole.good / whole.rated if whole.rated else None))
    return WhatIfRates(table, rates_of(before), rates_of(after))


def _is_kept(outcome: str) -> bool:
    return outcome in (ACCEPTED, PENDING)


def _cell(stratum: Stratum, good: Mapping[str, bool], *, kept: bool) -> Cell:
    rated = [good[id] for id in stratum.drawn if id in good]
    return Cell(stratum.size, len(rated), sum(rated), kept)


def _of_sample(labels: Labels, sample: Sample) -> Labels:
    """Return the ratings of a sample's candidates; others are of earlier samples."""
    ids = set(sample.ids)
    current = {key: rating for key, rating in labels.current.items() if key[0] in ids}
    return replace(labels, current=current)


def _sizes(sample: Sample, table: str) -> dict[str, int]:
    return {one.outcome: one.size for one in sample.strata if one.table == table}
