"""How good a reward model is: on pairs that it has not seen, and on pairs with a clear winner."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import shipped_file
from selfinstruct.train.health import Interval, share
from selfinstruct.train.preference_rows import PreferenceRow, preference_row, read_lines

# Of predicted win rates, from one half to one.
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
    """Pairs of which the model is about as sure: what it predicts, and how often it is right."""

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
    """A pair with a clear winner; `trap` says what the worse answer tempts with."""

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
    """Accuracy on checks, by trap, and those that were missed, the worst first.

    `left_out` of them could not be scored: too long.
    """

    checks: int
    left_out: int
    accuracy: Interval
    traps: dict[str, Interval]
    missed: list[Missed]


def reward_report(pairs: Sequence[ScoredPair]) -> RewardReport:
    """Return the report on pairs; those with a reward that is no number are left out."""
    known = [one for one in pairs if math.isfinite(one.chosen) and math.isfinite(one.rejected)]
    worse = [one for one in known if one.rejected_words > one.chosen_words]
    better = [one for one in known if one.chosen_words > one.rejected_words]
    bins = _calibration(known)
    return RewardReport(
        pairs=len(known),
        accuracy=_accuracy(known),
        longer_is_worse=_accuracy(worse),
        longer_is_worse_pairs=len(worse),
        longer_is_better=_accuracy(better),
        longer_is_better_pairs=len(better),
        calibration=bins,
        calibration_error=sum(one.pairs * abs(one.predicted - one.observed.mean) for one in bins)
        / max(len(known), 1),
        margin=fmean(one.chosen - one.rejected for one in known) if known else math.nan,
    )


def _accuracy(pairs: Sequence[ScoredPair]) -> Interval:
    """Return how often the chosen answer has the higher reward, equal rewards as halves."""
    return share(
        [0.5 if one.chosen == one.rejected else float(one.chosen > one.rejected) for one in pairs]
    )


def _calibration(pairs: Sequence[ScoredPair]) -> list[Bin]:
    """Compare the predicted win rate of the answer that the model prefers with how often it won.

    By Bradley and Terry an answer whose reward is higher by d wins with probability
    1 / (1 + exp(−d)).
    """
    bins: list[list[ScoredPair]] = [[] for _ in range(_BINS)]
    for one in pairs:
        sure = _predicted(one)
        bins[min(int((sure - 0.5) * 2 * _BINS), _BINS - 1)].append(one)
    return [Bin(len(own), fmean(map(_predicted, own)), _accuracy(own)) for own in bins if own]


def _predicted(one: ScoredPair) -> float:
    return 1 / (1 + math.exp(-min(abs(one.chosen - one.rejected), 700.0)))


def shipped_checks() -> Path:
    """Return the checks that come with the project."""
    return shipped_file("reward_checks.jsonl")


def read_checks(path: Path) -> list[Check]:
    """Read pairs with a clear winner: `prompt`, `chosen`, `rejected`, and perhaps `trap`.

    Raises:
        ConfigError: names file, line and fix.
    """
    checks: dict[str, Check] = {}
    for number, row in enumerate(read_lines(path, "--check"), 1):
        id = str(row.get("id") or number)
        if id in checks:
            raise ConfigError(f"{row['where']}: id {id!r} is that of another line too; rename one")
        checks[id] = Check(str(row.get("trap") or "other"), preference_row(row, id))
    if not checks:
        raise ConfigError(f"{path}: holds no check; give one {{prompt, chosen, rejected}} a line")
    return list(checks.values())


def check_report(
    checks: Sequence[Check],
    chosen: Sequence[float],
    rejected: Sequence[float],
    *,
    left_out: int = 0,
) -> CheckReport:
    """Return how many checks a reward model gets right, and name those that it misses."""
    scored = [
        (check, ScoredPair(good, bad, 0, 0))
        for check, good, bad in zip(checks, chosen, rejected, strict=True)
    ]
    traps = sorted({check.trap for check in checks})
    missed = [
        Missed(check.row.id, check.trap, check.row.messages[-1][1], one.rejected - one.chosen)
        for check, one in scored
        if not one.chosen > one.rejected
    ]
    return CheckReport(
        checks=len(checks),
        left_out=left_out,
        accuracy=_accuracy([one for _, one in scored]),
        traps={
            trap: _accuracy([one for check, one in scored if check.trap == trap]) for trap in traps
        },
        missed=sorted(missed, key=lambda one: -one.margin),
    )
