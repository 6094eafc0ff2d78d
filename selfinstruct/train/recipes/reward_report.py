"""How good a reward model is, on pairs that it has not seen and on pairs with a clear winner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import shipped_file
from selfinstruct.dataset.read import read_any
from selfinstruct.inputs.purposes import CHECKS
from selfinstruct.train.data.preference_rows import PreferenceRow, checked, preference_row
from selfinstruct.train.health.verdict import Interval, share

# Bins of the predicted win rate, between 0.5 and 1.
_BINS = 5


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """The rewards of a pair's answers, and their lengths in words."""

    chosen: float
    rejected: float
    chosen_words: int
    rejected_words: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of which the model is about equally sure: its prediction, and how often it is right."""

    pairs: int
    predicted: float
    observed: Interval


@dataclass(frozen=True)
class RewardReport:
    """Accuracy, and where it comes from; intervals are Wilson's (1927), 95 %.

    `longer_is_worse` is the accuracy on pairs whose rejected answer has more words,
    `longer_is_better` on those whose chosen answer has. `calibration_error` is the mean
    difference of predicted and observed win rates over the bins, weighted by their pairs (Guo
    et al. 2017, arXiv:1706.04599, eq. 3).
    """

    pairs: int
    accuracy: Interval
    longer_is_worse: Interval
    longer_is_worse_pairs: int
    longer_is_better: Interval
    longer_is_better_pairs: int
    calibration: list[Bin]
    calibration_error: float
    margin: float


@dataclass(frozen=True, slots=True)
class Check:
    """A pair with a clear winner; `trap` names what makes the worse answer tempting."""

    trap: str
    row: PreferenceRow


@dataclass(frozen=True, slots=True)
class Missed:
    """A check that the model got wrong, and by how much it prefers the worse answer."""

    id: str
    trap: str
    prompt: str
    margin: float


@dataclass(frozen=True)
class CheckReport:
    """Accuracy on checks, in all and by trap, and the missed ones, the worst first.

    `left_out` checks were too long to be scored.
    """

    checks: int
    left_out: int
    accuracy: Interval
    traps: dict[str, Interval]
    missed: list[Missed]


def reward_report(pairs: Sequence[ScoredPair]) -> RewardReport:
    """Return the report on pairs, without those whose reward is not a number."""
    known = [pair for pair in pairs if math.isfinite(pair.chosen) and math.isfinite(pair.rejected)]
    worse = [pair for pair in known if pair.rejected_words > pair.chosen_words]
    better = [pair for pair in known if pair.chosen_words > pair.rejected_words]
    bins = _calibration(known)
    return RewardReport(
        pairs=len(known),
        accuracy=_accuracy(known),
        longer_is_worse=_accuracy(worse),
        longer_is_worse_pairs=len(worse),
        longer_is_better=_accuracy(better),
        longer_is_better_pairs=len(better),
        calibration=bins,
        calibration_error=sum(bin.pairs * abs(bin.predicted - bin.observed.mean) for bin in bins)
        / max(len(known), 1),
        margin=fmean(pair.chosen - pair.rejected for pair in known) if known else math.nan,
    )


def _accuracy(pairs: Sequence[ScoredPair]) -> Interval:
    """Return how often the chosen answer has the higher reward. A tie counts as a half."""
    return share(
        [
            0.5 if pair.chosen == pair.rejected else float(pair.chosen > pair.rejected)
            for pair in pairs
        ]
    )


def _calibration(pairs: Sequence[ScoredPair]) -> list[Bin]:
    """Compare how often the answer with the higher reward should win, and how often it won.

    By Bradley and Terry, an answer whose reward is higher by d wins with probability
    1 / (1 + exp(−d)).
    """
    bins: list[list[ScoredPair]] = [[] for _ in range(_BINS)]
    for pair in pairs:
        bins[min(int((_win_rate(pair) - 0.5) * 2 * _BINS), _BINS - 1)].append(pair)
    return [Bin(len(own), fmean(map(_win_rate, own)), _accuracy(own)) for own in bins if own]


def _win_rate(pair: ScoredPair) -> float:
    return 1 / (1 + math.exp(-min(abs(pair.chosen - pair.rejected), 700.0)))


def shipped_checks() -> Path:
    """Return the checks that come with the project."""
    return shipped_file("reward_checks.jsonl")


def read_checks(path: str | Path) -> list[Check]:
    """Read pairs with a clear winner, in any format of pairs, and optionally their `trap`.

    Raises:
        ConfigError: names file, line and fix.
    """
    checks: dict[str, Check] = {}
    for row in read_any(path, "--check").converted(CHECKS, checked):
        if row.id in checks:
            raise ConfigError(f"{row.where}: id {row.id!r} is that of another row too; rename one")
        trap = str(row.columns.get("trap") or "other")
        checks[row.id] = Check(trap, preference_row(row, row.id))
    return list(checks.values())


def check_report(
    checks: Sequence[Check],
    chosen: Sequence[float],
    rejected: Sequence[float],
    *,
    left_out: int = 0,
) -> CheckReport:
    """Return how many checks a reward model gets right, and which ones it misses."""
    scored = [
        (check, ScoredPair(good, bad, 0, 0))
        for check, good, bad in zip(checks, chosen, rejected, strict=True)
    ]
    traps = sorted({check.trap for check in checks})
    missed = [
        Missed(
            check.row.id, check.trap, check.row.messages[-1]["content"], pair.rejected - pair.chosen
        )
        for check, pair in scored
        if not pair.chosen > pair.rejected
    ]
    return CheckReport(
        checks=len(checks),
        left_out=left_out,
        accuracy=_accuracy([pair for _, pair in scored]),
        traps={
            trap: _accuracy([pair for check, pair in scored if check.trap == trap])
            for trap in traps
        },
        missed=sorted(missed, key=lambda check: -check.margin),
    )
