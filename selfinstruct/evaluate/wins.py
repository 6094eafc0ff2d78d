"""Pairwise wins by a judge: rates, rates at equal length, and Bradley–Terry ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RESAMPLES = 1000
_REFITS = 400
# Regularises the regression on length: a coefficient stays finite if one side always wins.
_RIDGE = 0.05
_TOLERANCE = 1e-10


class Decided(StrEnum):
    """How two verdicts, one in each order, decide a duel.

    AGREEING: the verdict if both orders have the same, otherwise a tie (Zheng et al. 2023,
        arXiv:2306.05685, §3.4).
    BALANCE: the mean of both orders' log-odds, which cancels a preference for one place (Wang
        et al. 2023, arXiv:2305.17926, balanced position calibration).
    """

    AGREEING = "agreeing"
    BALANCE = "balance"


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often `a` beat `b`, ties as halves, with 95 % bootstrap intervals over `n` tasks.

    `at_equal_length`: the rate if both answers had the same length.
    """

    decided: Decided
    a: str
    b: str
    rate: float
    low: float
    high: float
    at_equal_length: float
    equal_low: float
    equal_high: float
    ties: int
    n: int


@dataclass(frozen=True, slots=True)
class Rating:
    """A model's strength in log-odds, with mean zero over the models, and its 95 % interval.

    The strength is None if the likelihood has no maximum: one group of models never lost to the
    other. The interval is None if it is not finite, since many draws have no maximum.
    """

    model: str
    strength: float | None
    low: float | None
    high: float | None


def win_rates(
    decided: Decided,
    preferences: Mapping[tuple[str, str], Sequence[float]],
    lengths: Mapping[str, Sequence[float]],
) -> list[WinRate]:
    """Return the win rate of each pair of models.

    Args:
        decided: how the duels were decided.
        preferences: of each pair (a, b), by task: 1 if a won, 0 if b did, 0.5 for a tie, NaN if
            the judge could not be asked.
        lengths: words of each model's answers, by task.
    """
    rates = []
    for (a, b), wins in preferences.items():
        values = np.asarray(wins, dtype=float)
        longer = np.asarray(lengths[a], dtype=float) - np.asarray(lengths[b], dtype=float)
        known = ~np.isnan(values)
        values, longer = values[known], longer[known]
        if not len(values):
            continue
        rng = np.random.default_rng(0)
        drawn = rng.integers(len(values), size=(_RESAMPLES, len(values)))
        low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
        equal = [rate_at_equal_length(values[tasks], longer[tasks]) for tasks in drawn]
        equal_low, equal_high = np.quantile(equal, (0.025, 0.975))
        rates.append(
            WinRate(
                decided,
                a,
                b,
                float(values.mean()),
                float(low),
                float(high),
                rate_at_equal_length(values, longer),
                float(equal_low),
                float(equal_high),
                int((values == 0.5).sum()),
                len(values),
            )
        )
    return rates


def rate_at_equal_length(values: Floats, longer: Floats) -> float:
    """Return the win rate without the effect of length.

    A logistic regression of the preference on tanh(difference of length / its standard
    deviation), read at no difference (Dubois et al. 2024, arXiv:2404.04475, §3).
    """
    spread = float(longer.std())
    slope = np.tanh(longer / spread) if spread > 0 else np.zeros_like(longer)
    design = np.stack([np.ones_like(slope), slope], axis=1)
    weights = np.zeros(2)
    for _ in range(25):  # Newton's method: a convex function of two weights
        chance = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (chance - values) + _RIDGE * weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return float(1 / (1 + np.exp(-weights[0])))


def ratings(
    models: Sequence[str], preferences: Mapping[tuple[str, str], Sequence[float]]
) -> list[Rating]:
    """Return Bradley–Terry ratings of three models or more, the strongest first.

    Intervals are those of a bootstrap over tasks, each drawn with all of its duels.
    """
    pairs = [(models.index(a), models.index(b)) for a, b in preferences]
    votes = np.asarray([list(own) for own in preferences.values()], dtype=float)

    def fit(tasks: Any) -> Floats | None:
        wins = np.zeros((len(models), len(models)))
        for (a, b), row in zip(pairs, votes[:, tasks], strict=True):
            known = row[~np.isnan(row)]
            wins[a, b] += known.sum()
            wins[b, a] += (1 - known).sum()
        return bradley_terry(wins)

    count = votes.shape[1]
    strengths = fit(np.arange(count))
    if strengths is None:
        return [Rating(model, None, None, None) for model in models]
    rng = np.random.default_rng(0)
    drawn = [fit(rng.integers(count, size=count)) for _ in range(_REFITS)]
    kept = [strength for strength in drawn if strength is not None]
    # If more draws than the interval leaves out have no maximum, its ends are not finite.
    if len(kept) < 0.975 * _REFITS:
        rated = [Rating(model, float(strengths[n]), None, None) for n, model in enumerate(models)]
    else:
        low, high = np.quantile(np.asarray(kept), (0.025, 0.975), axis=0)
        rated = [
            Rating(model, float(strengths[n]), float(low[n]), float(high[n]))
            for n, model in enumerate(models)
        ]
    return sorted(rated, key=lambda rating: -(rating.strength or 0.0))


def bradley_terry(wins: Floats) -> Floats | None:
    """Return strengths by maximum likelihood, in log-odds with mean zero.

    The model: i beats j with probability 1 / (1 + exp(s_j − s_i)) (Bradley and Terry 1952),
    fitted by the MM algorithm (Hunter 2004, Annals of Statistics 32(1), §2).

    Args:
        wins: (models, models): how often the row beat the column, a tie as half of a win each.

    Returns:
        None if there is no maximum: the models fall into two groups, and one group never lost to
        the other (Ford 1957).
    """
    if not _connected(wins > 0):
        return None
    played = wins + wins.T
    won = wins.sum(axis=1)
    worth = np.ones(len(wins))
    for _ in range(100_000):
        new = won / (played / (worth[:, None] + worth[None, :])).sum(axis=1)
        new /= np.exp(np.log(new).mean())
        change = np.abs(np.log(new) - np.log(worth)).max()
        worth = new
        if change < _TOLERANCE:
            break
    return np.log(worth)


def _connected(beats: NDArray[np.bool_]) -> bool:
    """Whether each model can be reached from each by a chain of wins."""
    reach = beats | np.eye(len(beats), dtype=bool)
    for _ in range(len(beats)):
        reach = reach | (reach.astype(int) @ reach.astype(int) > 0)
    return bool(reach.all())


def pairs_of(models: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs to compare: each later model with each earlier one."""
    return [(later, earlier) for earlier, later in combinations(models, 2)]
