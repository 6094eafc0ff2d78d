"""How often the interval of a plan holds what a run took, on made-up rounds of known curves.

    python scripts/bench_plan.py

Rounds of 80 candidates; the share of new ones falls as drawing from equally likely tasks
(`straight`), exponentially, or by a power of the pool. `varied` rounds have eight times the
variance. Each plan is made from the first 12, 25 or 60 rounds, for three times as many new texts.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from itertools import accumulate

import numpy as np

from selfinstruct.audit.yields import fit_yield

_CURVES: dict[str, Callable[[float], float]] = {
    "straight, 5,000 tasks": lambda pool: max(0.0, 1 - pool / 5000),
    "straight, 20,000 tasks": lambda pool: max(0.0, 1 - pool / 20000),
    "exponential": lambda pool: math.exp(-pool / 3000),
    "exponential, slow": lambda pool: math.exp(-pool / 20000),
    "power law": lambda pool: min(1.0, (pool / 500) ** -0.5),
    "power law, steep start": lambda pool: min(1.0, (pool / 100) ** -0.5),
}
_SEEDS, _PER_ROUND, _ROUNDS = 175, 80, 400


def rounds_of(
    curve: Callable[[float], float], rng: np.random.Generator, *, varied: bool
) -> list[tuple[float, int]]:
    """Return (pool at the middle, new texts) of each round."""
    pool, rounds = float(_SEEDS), []
    for _ in range(_ROUNDS):
        share = curve(pool)
        if varied:
            share = rng.beta(max(share * 10, 1e-3), max((1 - share) * 10, 1e-3))
        new = int(rng.binomial(_PER_ROUND, share))
        rounds.append((pool + new / 2, new))
        pool += new
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=60, help="runs of each curve")
    repeat = parser.parse_args().repeat
    rng = np.random.default_rng(1)
    print("curve                    varied   held   plans   likely / came")
    for name, curve in _CURVES.items():
        for varied in (False, True):
            held, ratios = [], []
            for number in range(repeat):
                rounds = rounds_of(curve, rng, varied=varied)
                known = (12, 25, 60)[number % 3]
                pools, new = zip(*rounds[:known], strict=True)
                fit = fit_yield(pools, [_PER_ROUND] * known, new)
                start = pools[-1] + new[-1] / 2
                target = start + 2 * sum(new)
                texts = np.array(
                    list(accumulate((one for _, one in rounds[known:]), initial=start))
                )
                if texts[-1] < target:
                    continue
                came = float(np.interp(target, texts, np.arange(len(texts)) * _PER_ROUND))
                path = np.geomspace(start, target, 300)
                needed = np.trapezoid(1 / np.maximum(fit.shares(path), 1e-12), path, axis=1)
                odds = np.maximum(needed / (target - start) - 1, 0) / (target - start)
                needed *= 1 + np.sqrt(fit.dispersion * odds) * rng.standard_normal(np.shape(needed))
                low, likely, high = np.quantile(needed, (0.025, 0.5, 0.975))
                held.append(low <= came <= high)
                ratios.append(likely / came)
            if held:
                print(
                    f"{name:24} {'yes' if varied else 'no':>6} {np.mean(held):6.0%} "
                    f"{len(held):7} {np.median(ratios):15.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
