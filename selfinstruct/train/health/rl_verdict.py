"""The health of a training on rewards: what it gained, what it cost, and whether it was hacked.

A policy that is trained on a proxy gains by it as long as it may, also where what the proxy stands
for falls: reward hacking. An independent scorer (`--gold`) shows it, as a curve over the square
root of the divergence from the reference (Gao et al. 2023, arXiv:2210.10760, §3).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from selfinstruct.train.health.verdict import (
    FEW,
    Interval,
    Trouble,
    Warned,
    mean_difference,
    of_samples,
)

# Of the entropy before the first step: below it the policy writes nearly the same every time.
_COLLAPSED = 0.3
_ADVICE: Mapping[Trouble, str] = {
    Trouble.FAR: "the policy has moved far from the reference: try a larger --beta, a lower "
    "--learning-rate, or fewer --steps",
    Trouble.LONGER: "the policy learnt to write more: take length out of the reward (a negative "
    "weight for words: words@-0.01), or try a larger --beta",
    Trouble.SHORTER: "the policy learnt to write less: take shortness out of the reward, or try a "
    "larger --beta",
    Trouble.ENDLESS: "the policy forgot how to end an answer: try more --answer-tokens, a larger "
    "--beta, or fewer --steps",
}


@dataclass(frozen=True, slots=True)
class RlPoint:
    """A moment of a training on rewards: what fresh answers to held-out prompts are worth.

    `scores` are their rewards, weighted and summed, by prompt, and `rewards` the mean of each
    reward without its weight. `golds` are the scores of the independent scorer, by prompt; empty
    without one. `divergence` is in nats per answer, `entropy` in nats per token; NaN is what could
    not be scored.
    """

    step: int
    epoch: float
    scores: list[float]
    golds: list[float]
    rewards: dict[str, float]
    divergence: float
    entropy: float
    tokens: float
    endless: float

    @property
    def reward(self) -> float:
        """The mean reward."""
        return known_mean(self.scores)

    @property
    def gold(self) -> float:
        """The mean score of the independent scorer; NaN without one."""
        return known_mean(self.golds)

    def objective(self, beta: float) -> float:
        """What is maximised: the mean reward, less beta times the divergence."""
        return self.reward - beta * self.divergence


@dataclass(frozen=True)
class RlHealth:
    """The effect of a training on rewards, on prompts that it has not seen.

    Gains are paired differences, from before the first step to the end.
    """

    prompts: int
    reward_before: float
    reward: float
    gain: Interval
    gold_before: float
    gold: float
    gold_gain: Interval
    divergence: float
    entropy_before: float
    entropy: float
    tokens_before: float
    tokens_after: float
    endless_before: float
    endless: float
    warnings: list[Warned] = field(default_factory=list)


def known_mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are numbers; NaN where there is none."""
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def rl_health_of(history: Sequence[RlPoint], held_out: int, saved: int | None = None) -> RlHealth:
    """Return the verdict on a training.

    Args:
        history: from before the first step to the end.
        held_out: how many prompts were held out; 0: the points are of prompts trained on.
        saved: the step of the policy that is saved; None: the last one.
    """
    start = history[0]
    end = next((point for point in history if point.step == saved), history[-1])
    health = RlHealth(
        prompts=len(end.scores),
        reward_before=start.reward,
        reward=end.reward,
        gain=mean_difference(end.scores, start.scores),
        gold_before=start.gold,
        gold=end.gold,
        gold_gain=mean_difference(end.golds, start.golds),
        divergence=end.divergence,
        entropy_before=start.entropy,
        entropy=end.entropy,
        tokens_before=start.tokens,
        tokens_after=end.tokens,
        endless_before=start.endless,
        endless=end.endless,
    )
    warnings = [*_of_rewards(health, start, held_out), *of_samples(start, end, _ADVICE)]
    found = hacked(history)
    if found is not None and end is not history[-1]:
        found = replace(found, found=f"{found.found}; saved is the policy of step {end.step}")
    health.warnings.extend([*([found] if found else []), *warnings])
    return health


def hacked(history: Sequence[RlPoint], unit: str = "step") -> Warned | None:
    """Return what shows that the reward was hacked, if it was.

    It was where the rewards rose and the scores of the independent scorer fell, both with their
    paired intervals, since the first step or since these scores were at their highest.

    Args:
        history: from before the first step to the end.
        unit: what a step of it is called.
    """
    end = history[-1]
    if len(history) < 2 or not end.golds:
        return None
    highest = max(history[:-1], key=lambda point: _order(point.gold))
    for since in dict.fromkeys((history[0].step, highest.step)):
        begin = next(point for point in history if point.step == since)
        proxy = mean_difference(end.scores, begin.scores)
        gold = mean_difference(end.golds, begin.golds)
        if proxy.low > 0 and gold.high < 0:
            return Warned(
                Trouble.HACKED,
                f"since {unit} {since} the reward rose by {_signed(proxy)} while the gold score "
                f"fell by {_signed(gold)}, {end.divergence:.1f} nats from the reference",
                f"the policy gains by what the reward does not mean: stop near {unit} "
                f"{highest.step}, where the gold score was highest (--stop-on-hacking), give a "
                "larger --beta, or repair the reward",
            )
    return None


def _order(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _of_rewards(health: RlHealth, start: RlPoint, held_out: int) -> list[Warned]:
    warnings = []
    measured = min(held_out, health.prompts)
    if measured < FEW:
        warnings.append(
            Warned(
                Trouble.FEW,
                f"{measured} held-out prompts are answered anew",
                f"hold out {FEW} or more (60 are better), and raise --fresh: fewer tell nothing "
                "apart",
            )
        )
    if len({value for value in start.scores if not math.isnan(value)}) < 2:
        warnings.append(
            Warned(
                Trouble.NO_SIGNAL,
                f"before the first step every answer had the reward {start.reward:.3g}",
                "answers of one reward teach nothing: give a reward that some of the answers get, "
                "fine-tune on examples first (`train sft`), or sample more answers (--k)",
            )
        )
    if not health.gain.low > 0:
        warnings.append(
            Warned(
                Trouble.NOT_RAISED,
                f"the reward went from {health.reward_before:.3g} to {health.reward:.3g}, by "
                f"{_signed(health.gain)}",
                "the training changed nothing measurable: try more --steps, a higher "
                "--learning-rate, a smaller --beta, or more held-out prompts",
            )
        )
    if health.entropy < _COLLAPSED * health.entropy_before:
        warnings.append(
            Warned(
                Trouble.COLLAPSED,
                f"the entropy of the next word fell from {health.entropy_before:.2f} to "
                f"{health.entropy:.2f} nats",
                "the policy writes nearly the same every time: a larger --beta, or fewer --steps",
            )
        )
    return warnings


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.3g} ({interval.low:+.3g} to {interval.high:+.3g})"
