"""How the share of new instructions falls as the pool grows: a curve, and how sure it is.

The share of compared candidates that are new, at a pool of P texts, is

    share(P) = level · (1 + κ (P/E - 1)) ^ (-λ/κ),    at most 1,

where E is the pool at the run's end, `level` the share there, λ how many percent the share falls
there for each percent that the pool grows, and κ the shape beyond the run: κ = 1 is a power law,
whose pool grows as the distinct words of a text do (Heaps 1978) and never ends; κ = 0 falls
exponentially; κ = -λ falls in a straight line to a pool that ends, as drawing from a fixed number
of equally likely tasks does. A run rarely tells the shapes apart, and they lead far from each
other beyond it. So none is chosen: all from a little beyond the straight line to a little beyond
the power law are weighed by how well they explain the rounds, and each plan draws from them. This
is a posterior on a grid. Before the rounds are seen, half of the weight is on pools that end, half
on those that never do, and it is flat in the logarithm of the odds of `level` and in √λ.

Rounds vary more than candidates drawn independently would: log-likelihoods are divided by the
overdispersion of the rounds (Pearson's χ² per degree of freedom; McCullagh and Nelder 1989,
§4.5.2), at least 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_BLOCKS = 100  # neighbouring rounds of larger runs are added up
_STEEPEST = 6.0  # λ
# Beyond the straight line (1) and the power law (1), so that neither is an edge.
_STRAIGHTEST, _HEAVIEST = 1.5, 1.15
_POINTS = (33, 33, 17)  # of the grid: level, λ, shape
_REFINEMENTS = 4
_NEGLIGIBLE = 12.0  # nats below the best: outside the next grid


@dataclass(frozen=True)
class YieldFit:
    """Draws of the curve: level, λ and κ of each, for a run that ends at a pool of `end` texts.

    dispersion: the variance of rounds by that of independent candidates, at least 1.
    """

    end: float
    level: Floats
    fall: Floats
    shape: Floats
    dispersion: float

    def shares(self, pools: Floats) -> Floats:
        """Return the share of new candidates at pools, of shape (draws, pools); 0 at a pool's end.

        Args:
            pools: numbers of texts, of shape (draws, pools) or (pools,).
        """
        columns = (parameter[:, None] for parameter in (self.level, self.fall, self.shape))
        return _share(np.asarray(pools, dtype=float) / self.end, *columns)


def fit_yield(
    pools: Sequence[float],
    compared: Sequence[int],
    novel: Sequence[int],
    *,
    draws: int = 4000,
    seed: int = 0,
) -> YieldFit:
    """Fit the curve to rounds.

    Args:
        pools: texts in the pool at the middle of each round; some above 0.
        compared: candidates of each round that were compared with the pool.
        novel: those of them that were new.
        draws: how many curves to draw.
        seed: of the draws.
    """
    blocks = [_blocks(np.asarray(values, dtype=float)) for values in (pools, compared, novel)]
    counts, new = (np.array([block.sum() for block in one]) for one in blocks[1:])
    at = np.array(
        [
            float(np.average(p, weights=np.maximum(c, 1e-9)))
            for p, c in zip(*blocks[:2], strict=True)
        ]
    )
    end = float(at[-1])
    relative = at / end
    bounds = [(-7.0, 7.0), (0.0, _STEEPEST**0.5), (0.0, 1.0)]
    for _ in range(_REFINEMENTS):
        axes = [np.linspace(*bound, points) for bound, points in zip(bounds, _POINTS, strict=True)]
        likelihood, dispersion = _likelihoods(axes, relative, counts, new)
        bounds = [_around(axis, likelihood, number) for number, axis in enumerate(axes)]
    weight = np.exp(likelihood - likelihood.max()).ravel()
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(weight), size=draws, p=weight / weight.sum())
    places = np.unravel_index(chosen, likelihood.shape)
    level, fall, shape = (
        _jittered(axis, place, rng) for axis, place in zip(axes, places, strict=True)
    )
    fall = fall**2
    return YieldFit(end, _inverse_logit(level), fall, _kappa(fall, shape), dispersion)


def _likelihoods(
    axes: Sequence[Floats], relative: Floats, counts: Floats, new: Floats
) -> tuple[Floats, float]:
    """Return the log-likelihood of each point of the grid, and the overdispersion."""
    level, root, shape = np.meshgrid(*axes, indexing="ij")
    fall = root**2
    own = (one[..., None] for one in (_inverse_logit(level), fall, _kappa(fall, shape)))
    share = np.clip(_share(relative, *own), 1e-9, 1 - 1e-6)
    likelihood = (new * np.log(share) + (counts - new) * np.log1p(-share)).sum(axis=-1)
    best = share[np.unravel_index(int(likelihood.argmax()), likelihood.shape)]
    # Where a share is near 0 or 1, the variance of one candidate is not told: it is kept away.
    near = np.clip(best, 0.01, 0.99)
    chi = float((((new - counts * best) ** 2) / np.maximum(counts * near * (1 - near), 1e-9)).sum())
    dispersion = max(1.0, chi / max(1, len(counts) - len(axes)))
    return likelihood / dispersion, dispersion


def _share(relative: Floats, level: Floats, fall: Floats, shape: Floats) -> Floats:
    growth = relative - 1.0
    base = np.maximum(1.0 + shape * growth, 0.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        curved = -fall / shape * np.log(base)
    straight = np.abs(shape) < 1e-6
    exponent = np.where(straight, -fall * growth, curved)
    exponent = np.where((base <= 0) & ~straight, -np.inf, exponent)
    # λ = 0 is a share that stays as it is, whatever the shape.
    exponent = np.where(fall < 1e-12, 0.0, exponent)
    share: Floats = np.minimum(level * np.exp(np.minimum(exponent, 50.0)), 1.0)
    return share


def _kappa(fall: Floats, shape: Floats) -> Floats:
    """Return κ: below 0 (the pool ends) for shapes in [0, 0.5], above it (never) in [0.5, 1]."""
    ends = np.minimum(2.0 * shape - 1.0, 0.0)
    lasts = np.maximum(2.0 * shape - 1.0, 0.0)
    kappa: Floats = _STRAIGHTEST * fall * ends + _HEAVIEST * lasts
    return kappa


def _around(axis: Floats, likelihood: Floats, number: int) -> tuple[float, float]:
    """Return the range of an axis that has all but the negligible points, and a step around it."""
    others = tuple(n for n in range(likelihood.ndim) if n != number)
    kept = np.flatnonzero(likelihood.max(axis=others) > likelihood.max() - _NEGLIGIBLE)
    low, high = max(0, kept[0] - 1), min(len(axis) - 1, kept[-1] + 1)
    return float(axis[low]), float(axis[high])


def _jittered(axis: Floats, places: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    """Return points of an axis, each moved within its cell."""
    width = (axis[-1] - axis[0]) / max(1, len(axis) - 1)
    moved: Floats = axis[places] + width * rng.uniform(-0.5, 0.5, len(places))
    return np.clip(moved, axis[0], axis[-1])


def _inverse_logit(values: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-values))


def _blocks(values: Floats) -> list[Floats]:
    return list(np.array_split(values, min(_MOST_BLOCKS, len(values))))
