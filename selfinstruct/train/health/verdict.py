"""The health of a training on preferences: what it did to both objectives, and what to try.

DPO has two objectives: prefer the chosen answers, and stay near the reference. Either can
override the other while the loss falls (Rafailov et al. 2023, arXiv:2305.18290, §4; Razin et
al. 2024, arXiv:2410.08847, on chosen answers that become less likely).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from selfinstruct.common.statistics import paired_difference, wilson

# With fewer pairs nothing is significant: of 30, an accuracy of 0.68 just excludes 0.5.
FEW = 30
# In nats per answer: the distance of the best of some 60,000 samples (log n − (n − 1)/n).
_FAR = 10.0
_LONGER, _SHORTER = 1.5, 0.5
_ENDLESS = 0.1
# A share of the pairs, by log-probability per token. A labeller rarely prefers so consistently
# what the model would not write.
_AGAINST = 0.35


class Trouble(StrEnum):
    """A problem of a training on preferences, on rewards, or of a distillation."""

    FEW = "few_held_out"
    CHANCE = "at_chance"
    BELOW_CHANCE = "below_chance"
    LESS_LIKELY = "chosen_less_likely"
    FAR = "far_from_reference"
    LONGER = "longer"
    SHORTER = "shorter"
    ENDLESS = "never_stops"
    AGAINST = "against_the_reference"
    HACKED = "reward_hacking"
    NOT_RAISED = "reward_not_raised"
    NO_SIGNAL = "no_signal"
    COLLAPSED = "entropy_collapsed"
    NOT_NEARER = "not_nearer"
    MODES_LOST = "modes_lost"


@dataclass(frozen=True, slots=True)
class HeldOutPair:
    """A pair's log-probabilities under policy and reference, in nats, and its lengths in tokens."""

    chosen: float
    rejected: float
    ref_chosen: float
    ref_rejected: float
    chosen_tokens: int
    rejected_tokens: int


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of a training: means over the batches of held-out pairs, and over fresh samples.

    `margin` is the difference of the implicit rewards β·log(π/π_ref). Log-probabilities and
    divergence are in nats per answer, and `tokens` is the length of an answer. Values of held-out
    pairs are NaN where there are none.
    """

    step: int
    epoch: float
    loss: float
    accuracy: float
    margin: float
    chosen: float
    rejected: float
    divergence: float
    tokens: float
    endless: float


class Sampled(Protocol):
    """The parts of a moment that fresh answers give; those of RL have them too."""

    @property
    def divergence(self) -> float: ...
    @property
    def tokens(self) -> float: ...
    @property
    def endless(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Warned:
    """One problem: what shows it, with the number, and what to try."""

    trouble: Trouble
    found: str
    advice: str


@dataclass(frozen=True)
class Health:
    """The effect of a training, on pairs that it has not seen and on fresh samples."""

    pairs: int
    accuracy: Interval
    margin: Interval
    chosen: Interval
    rejected: Interval
    reference_accuracy: Interval
    divergence: float
    tokens_before: float
    tokens_after: float
    warnings: list[Warned]


def health_of(held_out: Sequence[HeldOutPair], history: Sequence[Point], beta: float) -> Health:
    """Return the verdict on a training.

    Args:
        held_out: pairs that were not trained on, scored by the trained policy.
        history: from before the first step to the end. The last point is the trained policy.
        beta: the factor of the implicit reward.
    """
    margins = [beta * ((p.chosen - p.ref_chosen) - (p.rejected - p.ref_rejected)) for p in held_out]
    zeros = [0.0] * len(held_out)
    start, end = history[0], history[-1]
    health = Health(
        pairs=len(held_out),
        accuracy=share([0.5 if margin == 0 else float(margin > 0) for margin in margins]),
        margin=mean_difference(margins, zeros),
        chosen=mean_difference([p.chosen for p in held_out], [p.ref_chosen for p in held_out]),
        rejected=mean_difference(
            [p.rejected for p in held_out], [p.ref_rejected for p in held_out]
        ),
        reference_accuracy=share(
            [
                float(p.ref_chosen / p.chosen_tokens > p.ref_rejected / p.rejected_tokens)
                for p in held_out
            ]
        ),
        divergence=end.divergence,
        tokens_before=start.tokens,
        tokens_after=end.tokens,
        warnings=[],
    )
    health.warnings.extend([*_of_pairs(health), *of_samples(start, end)])
    return health


def _of_pairs(health: Health) -> list[Warned]:
    warnings = []
    accuracy, chosen, rejected = health.accuracy, health.chosen, health.rejected
    if health.pairs < FEW:
        warnings.append(
            Warned(
                Trouble.FEW,
                f"{health.pairs} pairs are held out",
                f"hold out {FEW} or more (60 are better): fewer tell nothing apart",
            )
        )
    if not health.pairs:
        return warnings
    shown = f"accuracy on held-out pairs {_percent(accuracy)}"
    if accuracy.high < 0.5:
        warnings.append(
            Warned(
                Trouble.BELOW_CHANCE,
                f"{shown}: worse than chance",
                "the training pairs and the held-out pairs contradict each other: look for flipped "
                "labels in one of them",
            )
        )
    elif accuracy.low <= 0.5:
        warnings.append(
            Warned(
                Trouble.CHANCE,
                f"{shown}: the interval includes chance",
                "the training learnt nothing measurable: try more pairs, a larger --min-margin, "
                "more epochs, or another labeller",
            )
        )
    if chosen.high < 0 and rejected.mean < chosen.mean:
        warnings.append(
            Warned(
                Trouble.LESS_LIKELY,
                f"chosen answers lost {-chosen.mean:.1f} nats, rejected ones {-rejected.mean:.1f}",
                "the margin grows although both get less likely: try a larger --beta, fewer steps, "
                "or --loss-type sigmoid,sft, which keeps the chosen ones likely",
            )
        )
    if health.reference_accuracy.high < _AGAINST:
        warnings.append(
            Warned(
                Trouble.AGAINST,
                "per token the reference finds the chosen answer likelier in "
                f"{_percent(health.reference_accuracy)} of the pairs",
                "the labels contradict the model's own likelihood: they are flipped, or the "
                "labeller is meant to prefer unlikely answers",
            )
        )
    return warnings


_ADVICE: Mapping[Trouble, str] = {
    Trouble.FAR: "the policy has moved far from the reference: try a larger --beta, a lower "
    "--learning-rate, or fewer epochs",
    Trouble.LONGER: "the policy learnt to write more: try `prefer --length-balance`, or a larger "
    "--beta",
    Trouble.SHORTER: "the policy learnt to write less: try `prefer --length-balance`, or a larger "
    "--beta",
    Trouble.ENDLESS: "the policy forgot how to end an answer: try fewer steps, or "
    "--loss-type sigmoid,sft",
}


def of_samples(
    start: Sampled, end: Sampled, advice: Mapping[Trouble, str] = _ADVICE
) -> list[Warned]:
    """Return what fresh answers show: their distance from the reference, length and ends.

    Args:
        start: before the first step.
        end: after the last.
        advice: what to try for each trouble.
    """
    warnings = []
    if end.divergence > _FAR:
        found = f"fresh answers diverge {end.divergence:.1f} nats from the reference"
        warnings.append(Warned(Trouble.FAR, found, advice[Trouble.FAR]))
    ratio = end.tokens / start.tokens if start.tokens else math.nan
    shown = f"fresh answers have {end.tokens:.0f} tokens, {start.tokens:.0f} before"
    if ratio > _LONGER:
        warnings.append(Warned(Trouble.LONGER, shown, advice[Trouble.LONGER]))
    if ratio < _SHORTER:
        warnings.append(Warned(Trouble.SHORTER, shown, advice[Trouble.SHORTER]))
    if end.endless - start.endless > _ENDLESS:
        found = (
            f"{100 * end.endless:.0f} % of fresh answers do not end, "
            f"{100 * start.endless:.0f} % before"
        )
        warnings.append(Warned(Trouble.ENDLESS, found, advice[Trouble.ENDLESS]))
    return warnings


def share(hits: Sequence[float]) -> Interval:
    """Return the share of hits with Wilson's interval. A tie counts as half a hit."""
    low, high = wilson(sum(hits), len(hits))
    return Interval(sum(hits) / len(hits) if hits else math.nan, low, high)


def mean_difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Return the mean of paired differences with its interval (`paired_difference`)."""
    mean, low, high, _ = paired_difference(first, second)
    return Interval(mean, low, high)


def _percent(rate: Interval) -> str:
    return f"{100 * rate.mean:.0f} % ({100 * rate.low:.0f} to {100 * rate.high:.0f})"
