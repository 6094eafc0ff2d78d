"""What more tasks will cost: requests, tokens, hours, disk and memory, from a small run.

All follows from how many candidates the tasks that are missing take. The share of new ones falls
with the pool (yields.py); the rest of the yield, tokens and bytes are taken to stay as they were.
Each draw of the curve gives one plan; intervals are those of the draws, at 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from selfinstruct.audit.growth import Asked, RoundGrowth, growth_of
from selfinstruct.audit.yields import Floats, YieldFit, fit_yield
from selfinstruct.common.errors import ConfigError
from selfinstruct.config.schema import StopConfig
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.store import Run

LEAST_ROUNDS = 5
LEAST_COMPARED = 50
FAR = 10
"""Beyond so many times the tasks of a run, a plan is a guess."""

# Measured by scripts/bench_loop.py (docs/scale.md): the process that runs the loop, without a
# model, and what each pooled text adds to it.
MEMORY_BYTES = 340e6
MEMORY_PER_TEXT = 1600.0

_STEPS = 400
# Until then prompts show seed tasks alone, and later ones generated tasks too.
_SEEDS_ALONE = 2


@dataclass(frozen=True)
class Estimate:
    """What is likely (the median), and a 95 % interval; infinite where the target is not reached.

    so_far: what the rounds have used. actual: what the run itself needed in the end, of a plan
        from its first rounds; None where unknown.
    """

    so_far: float
    likely: float
    low: float
    high: float
    actual: float | None = None


@dataclass(frozen=True)
class Plan:
    """A plan for a target, in all from the first round on.

    tasks, rounds: of the run, as planned from. target: tasks in all.
    per_second: generated tokens a second. None: not known.
    candidates, requests, prompt_tokens, generated_tokens, hours, disk_bytes, memory_bytes, cost:
        totals; `memory_bytes` of the process at the end. None: not known.
    yield_now, yield_then: tasks by candidates, at the end of the run and at the target.
    curve: (tasks, low, likely, high) of the yield, from the run's end to the target.
    observed: (tasks, yield) of the rounds.
    stops: share of the draws in which the yield falls below `min_yield` before the target.
    stops_at: tasks at which it does: low, likely, high of those draws; None if too few do.
    notes: what limits the plan, in words.
    """

    tasks: int
    rounds: int
    target: int
    per_second: float | None
    candidates: Estimate
    requests: Estimate
    prompt_tokens: Estimate
    generated_tokens: Estimate
    hours: Estimate | None
    disk_bytes: Estimate
    memory_bytes: Estimate
    cost: Estimate | None
    yield_now: float
    yield_then: Estimate
    curve: list[tuple[float, float, float, float]]
    observed: list[tuple[float, float]]
    min_yield: float
    stops: float
    stops_at: tuple[float, float, float] | None
    notes: list[str]


def plan(
    run: Run,
    target: int,
    *,
    tokens_per_second: float | None = None,
    price_in: float | None = None,
    price_out: float | None = None,
    rounds: int | None = None,
) -> Plan:
    """Plan a run up to a target from what its rounds took.

    Args:
        run: a run that a model writes.
        target: tasks in all.
        tokens_per_second: generated tokens; by default as fast as the run was.
        price_in: price of a million tokens of prompts; by default the run's.
        price_out: price of a million generated tokens, likewise.
        rounds: plan from the first so many rounds alone, to compare with what came.

    Raises:
        ConfigError: the run is too small, or already at the target.
        StoreError: a file of the run is damaged.
    """
    config = stored_config(run)
    prices = StopConfig(
        price_in=config.stop.price_in if price_in is None else price_in,
        price_out=config.stop.price_out if price_out is None else price_out,
    )
    every = growth_of(run)
    growth = every if rounds is None else every[:rounds]
    tasks = sum(one.counted for one in growth)
    _check(run, growth, tasks, target, given=len(every), asked=rounds)
    draws = _Draws(growth, target - tasks, config.stop.min_yield)
    later = _until(every, target) if len(growth) < len(every) else None
    speed = tokens_per_second or _speed(growth)

    def total(of: Callable[[RoundGrowth], float], to_come: Floats) -> Estimate:
        done = sum(map(of, growth))
        actual = None if later is None else float(sum(map(of, later)))
        return _estimate(done, done + to_come, actual)

    def priced(one: RoundGrowth) -> float:
        prompts = one.proposals.prompt_tokens + one.instances.prompt_tokens
        return prices.cost(prompts, _generated(one)) or 0.0

    prompt = draws.tokens(lambda asked: asked.prompt_tokens)
    generated = draws.tokens(lambda asked: asked.generated_tokens)
    has_price = prices.cost(0, 0) is not None
    pool = _estimate(growth[-1].pool + growth[-1].novel, draws.pool_then)
    yields = draws.yields()
    return Plan(
        tasks=tasks,
        rounds=len(growth),
        target=target,
        per_second=speed,
        candidates=total(lambda one: one.candidates, draws.candidates),
        requests=total(
            lambda one: one.proposals.requests + one.instances.requests,
            draws.tokens(lambda asked: asked.requests),
        ),
        prompt_tokens=total(
            lambda one: one.proposals.prompt_tokens + one.instances.prompt_tokens, prompt
        ),
        generated_tokens=total(_generated, generated),
        hours=_hours(growth, generated, speed, later, as_measured=tokens_per_second is None),
        disk_bytes=total(lambda one: one.proposal_bytes + one.novel_bytes, draws.disk),
        memory_bytes=_scaled(pool, MEMORY_PER_TEXT, MEMORY_BYTES),
        cost=total(priced, _priced(prices, prompt, generated)) if has_price else None,
        yield_now=float(np.median(yields[:, 0])),
        yield_then=_estimate(float(np.median(yields[:, 0])), yields[:, -1]),
        curve=_curve(draws, yields, tasks, target),
        observed=_observed(growth),
        min_yield=config.stop.min_yield,
        stops=float(draws.stops.mean()),
        stops_at=_stops_at(draws, tasks),
        notes=_notes(draws, tasks, target),
    )


def _check(
    run: Run,
    growth: Sequence[RoundGrowth],
    tasks: int,
    target: int,
    *,
    given: int,
    asked: int | None,
) -> None:
    """Raise ConfigError unless the rounds can give a plan for the target."""
    if asked is not None and not LEAST_ROUNDS <= asked <= given:
        raise ConfigError(
            f"--rounds {asked}: {run.path} has {given} rounds that a model wrote; give a number "
            f"from {LEAST_ROUNDS} to {given}"
        )
    compared = sum(one.compared for one in growth)
    if len(growth) < LEAST_ROUNDS or compared < LEAST_COMPARED or not tasks:
        raise ConfigError(
            f"{run.path}: {len(growth)} rounds, {compared} candidates compared with the pool, "
            f"{tasks} tasks: too few to plan from; {LEAST_ROUNDS} rounds, {LEAST_COMPARED} "
            "candidates and 1 task are the least. Let it grow: "
            f"selfinstruct generate --out {run.path} --resume --target {max(100, 2 * tasks)}"
        )
    if target <= tasks:
        has = f"has {tasks} tasks" + ("" if asked is None else f" in its first {asked} rounds")
        raise ConfigError(f"--target {target}: {run.path} {has}; give a higher target")


class _Draws:
    """One possible future in each row.

    pool_then: texts in the pool at the target. candidates: to come; infinite where the pool ends
    before. stops: whether the yield falls below the least before the target. stop_tasks: tasks to
    come until then.
    """

    def __init__(self, growth: Sequence[RoundGrowth], missing: int, min_yield: float) -> None:
        later = [one for one in growth if one.number >= _SEEDS_ALONE]
        self.used = later if len(later) >= LEAST_ROUNDS else list(growth)
        middles = [max(1.0, one.pool + one.novel / 2) for one in self.used]
        self.fit: YieldFit = fit_yield(
            middles, [one.compared for one in self.used], [one.novel for one in self.used]
        )
        rng = np.random.default_rng(1)
        # The other rates: rounds drawn with replacement, by the Bayesian bootstrap (Rubin 1981).
        blocks = np.array_split(np.arange(len(self.used)), min(100, len(self.used)))
        self._blocks = [[self.used[number] for number in block] for block in blocks]
        self._weights = rng.dirichlet(np.ones(len(blocks)), size=len(self.fit.level))
        new = self._sum(lambda one: one.novel)
        self.tasks_per_novel = self._sum(lambda one: one.tasks) / new
        self._candidates_per_compared = self._sum(lambda one: one.candidates) / self._sum(
            lambda one: one.compared
        )
        start = float(max(1, growth[-1].pool + growth[-1].novel))
        self.novel = missing / np.maximum(self.tasks_per_novel, 1e-9)
        self.pool_then = start + self.novel
        self.pools = start * (self.pool_then[:, None] / start) ** np.linspace(0.0, 1.0, _STEPS)
        self.shares = self.fit.shares(self.pools)
        with np.errstate(divide="ignore"):
            needed = np.where(self.shares > 1e-9, 1 / np.maximum(self.shares, 1e-9), np.inf)
        compared = (np.diff(self.pools) * (needed[:, 1:] + needed[:, :-1]) / 2).sum(axis=1)
        self.compared = self._with_chance(compared, rng)
        self.candidates = self.compared * self._candidates_per_compared
        low = self.yields() < min_yield
        self.stops = low.any(axis=1)
        first = np.take_along_axis(self.pools, low.argmax(axis=1)[:, None], axis=1)[:, 0]
        self.stop_tasks = np.where(self.stops, (first - start) * self.tasks_per_novel, np.inf)

    def _with_chance(self, compared: Floats, rng: np.random.Generator) -> Floats:
        """Add how much the number would vary if the curve were known (negative binomial)."""
        finite = np.isfinite(compared)
        rest = np.where(finite, compared, 0.0) / self.novel
        spread = np.sqrt(self.fit.dispersion * np.maximum(rest - 1, 0.0) / self.novel)
        varied = compared * np.maximum(1 + spread * rng.standard_normal(len(compared)), 0.0)
        return np.where(finite, np.maximum(varied, self.novel), np.inf)

    def _sum(self, of: Callable[[RoundGrowth], float]) -> Floats:
        """Return a weighted sum over the rounds, one for each draw."""
        sums: Floats = self._weights @ np.array([sum(map(of, block)) for block in self._blocks])
        return sums

    def yields(self) -> Floats:
        """Return tasks by candidates along the way, of shape (draws, steps)."""
        rest = self.tasks_per_novel / self._candidates_per_compared
        return self.shares * rest[:, None]

    def tokens(self, of: Callable[[Asked], float]) -> Floats:
        """Return what is to come of a count of requests."""
        candidates = self._sum(lambda one: one.candidates)
        proposing = self._sum(lambda one: of(one.proposals)) / candidates
        answering = self._sum(lambda one: of(one.instances)) / self._sum(lambda one: one.novel)
        return proposing * self.candidates + answering * self.novel

    @property
    def disk(self) -> Floats:
        """Bytes of the rounds to come."""
        proposing = self._sum(lambda one: one.proposal_bytes) / self._sum(
            lambda one: one.candidates
        )
        answering = self._sum(lambda one: one.novel_bytes) / self._sum(lambda one: one.novel)
        return proposing * self.candidates + answering * self.novel


def _priced(prices: StopConfig, prompt: Floats, generated: Floats) -> Floats:
    parts = ((prices.price_in, prompt), (prices.price_out, generated))
    costs: Floats = np.zeros(len(prompt))
    for price, tokens in parts:
        costs = costs + price * tokens / 1e6 if price else costs
    return costs


def _generated(one: RoundGrowth) -> int:
    return one.proposals.generated_tokens + one.instances.generated_tokens


def _speed(growth: Sequence[RoundGrowth]) -> float | None:
    """Return the generated tokens a second of the run; None where it was not measured."""
    seconds = sum(one.seconds for one in growth)
    tokens = sum(_generated(one) for one in growth)
    return tokens / seconds if seconds > 0 and tokens else None


def _hours(
    growth: Sequence[RoundGrowth],
    generated: Floats,
    speed: float | None,
    later: Sequence[RoundGrowth] | None,
    *,
    as_measured: bool,
) -> Estimate | None:
    if speed is None:
        return None
    done = sum(one.seconds for one in growth) / 3600
    took = sum(one.seconds for one in later) / 3600 if later and as_measured else None
    if not as_measured:
        done = sum(map(_generated, growth)) / speed / 3600
    return _estimate(done, done + generated / speed / 3600, took)


def _until(rounds: Sequence[RoundGrowth], target: int) -> list[RoundGrowth] | None:
    """Return the rounds until the run had the target; None if it never had."""
    taken, tasks = [], 0
    for one in rounds:
        taken.append(one)
        tasks += one.counted
        if tasks >= target:
            return taken
    return None


def _estimate(so_far: float, values: Floats, actual: float | None = None) -> Estimate:
    low, likely, high = _quantiles(values)
    return Estimate(float(so_far), likely, low, high, actual)


def _quantiles(values: Floats) -> tuple[float, float, float]:
    """Return the 2.5, 50 and 97.5 % quantiles; an infinite neighbour makes one infinite."""
    ordered = np.sort(values)
    places = (np.array([0.025, 0.5, 0.975]) * (len(ordered) - 1)).round().astype(int)
    low, likely, high = (float(ordered[place]) for place in places)
    return low, likely, high


def _scaled(estimate: Estimate, factor: float, offset: float) -> Estimate:
    values = (estimate.so_far, estimate.likely, estimate.low, estimate.high)
    return Estimate(*(offset + factor * value for value in values))


def _curve(
    draws: _Draws, yields: Floats, tasks: int, target: int
) -> list[tuple[float, float, float, float]]:
    """Return the yield along the way; each draw has the same tasks at a step's share of the way."""
    chosen = np.unique(np.linspace(0, _STEPS - 1, 60).round().astype(int))
    start = draws.pools[:, :1]
    done = (draws.pools[:, chosen] - start) * draws.tasks_per_novel[:, None]
    middle = tasks + np.median(done, axis=0)
    points = [
        (float(at), *_quantiles(yields[:, step])) for at, step in zip(middle, chosen, strict=True)
    ]
    return [(min(at, float(target)), low, likely, high) for at, low, likely, high in points]


def _observed(growth: Sequence[RoundGrowth]) -> list[tuple[float, float]]:
    points, tasks = [], 0
    for one in growth:
        if one.candidates:
            points.append((tasks + one.counted / 2, one.tasks / one.candidates))
        tasks += one.counted
    return points


def _stops_at(draws: _Draws, tasks: int) -> tuple[float, float, float] | None:
    stopping = draws.stop_tasks[draws.stops]
    if len(stopping) < 40:
        return None
    low, likely, high = _quantiles(tasks + stopping)
    return low, likely, high


def _notes(draws: _Draws, tasks: int, target: int) -> list[str]:
    """Say what limits the plan."""
    notes = []
    fall = np.quantile(draws.shares[:, -1] / np.maximum(draws.shares[:, 0], 1e-9), [0.025, 0.975])
    low, _, high = _quantiles(draws.candidates)
    if fall[1] > 0.97 or high > 3 * low:
        notes.append(
            "The run is too small to tell how the yield will fall: at the target it may be "
            f"anything from {fall[0]:.0%} to {fall[1]:.0%} of today's. Let it grow, and plan again."
        )
    if target > FAR * tasks:
        notes.append(
            f"Beyond {FAR * tasks:,} tasks ({FAR} times the run) this is a guess: the run does not "
            "show how many different tasks the model can write."
        )
    return notes
