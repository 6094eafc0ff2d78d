"""The health of a distillation: how near the student is to its teacher, and what it lost.

The two divergences tell two losses apart (Minka 2005, Divergence measures and message passing).
Forward, KL(teacher ‖ student), is large where the teacher answers what the student would not:
modes are lost. Reverse, KL(student ‖ teacher), is large where the student answers what the
teacher would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from selfinstruct.train.health.rl_verdict import known_mean
from selfinstruct.train.health.verdict import FEW, Interval, Trouble, Warned, mean_difference

_LONGER, _SHORTER = 1.5, 0.5
_ENDLESS = 0.1


@dataclass(frozen=True, slots=True)
class Taught:
    """A teacher's answer to a held-out prompt: its token ids, and how likely the teacher finds it.

    `likelihood` is the mean log-probability of its tokens, in nats per token.
    """

    ids: list[int]
    ended: bool
    likelihood: float


@dataclass(frozen=True, slots=True)
class DistillPoint:
    """A moment of a distillation, on held-out prompts; all in nats per token.

    `likelihoods` are the mean log-probabilities of the teacher's answers under the student, by
    prompt, and `forwards` the divergences KL(teacher ‖ student) of the next word, averaged over
    the tokens of those answers. `reverses` are KL(student ‖ teacher) over fresh answers of the
    student, whose length is `tokens`; the share `endless` of them never ended.
    """

    step: int
    epoch: float
    likelihoods: list[float]
    forwards: list[float]
    reverses: list[float]
    tokens: float
    endless: float

    @property
    def likelihood(self) -> float:
        """The mean over the prompts."""
        return known_mean(self.likelihoods)

    @property
    def forward(self) -> float:
        """The mean over the prompts."""
        return known_mean(self.forwards)

    @property
    def reverse(self) -> float:
        """The mean over the prompts."""
        return known_mean(self.reverses)


@dataclass(frozen=True)
class DistillHealth:
    """The effect of a distillation, on prompts that it has not seen.

    Changes are paired differences, from before the first step to the end, in nats per token.
    `teacher` is how likely the teacher finds its own answers, which no student exceeds for long.
    """

    prompts: int
    teacher: float
    likelihood_before: float
    likelihood: float
    gain: Interval
    forward_before: float
    forward: float
    forward_change: Interval
    reverse_before: float
    reverse: float
    reverse_change: Interval
    tokens_teacher: float
    tokens_before: float
    tokens: float
    endless_teacher: float
    endless_before: float
    endless: float
    warnings: list[Warned] = field(default_factory=list)


def distill_health_of(
    history: Sequence[DistillPoint],
    taught: Sequence[Taught],
    held_out: int,
    saved: int | None = None,
) -> DistillHealth:
    """Return the verdict on a distillation.

    Args:
        history: from before the first step to the end.
        taught: the teacher's answers that it was measured on.
        held_out: how many prompts were held out; 0: the points are of prompts trained on.
        saved: the step of the student that is saved; None: the last one.
    """
    start = history[0]
    end = next((point for point in history if point.step == saved), history[-1])
    health = DistillHealth(
        prompts=len(taught),
        teacher=known_mean([one.likelihood for one in taught]),
        likelihood_before=start.likelihood,
        likelihood=end.likelihood,
        gain=mean_difference(end.likelihoods, start.likelihoods),
        forward_before=start.forward,
        forward=end.forward,
        forward_change=mean_difference(end.forwards, start.forwards),
        reverse_before=start.reverse,
        reverse=end.reverse,
        reverse_change=mean_difference(end.reverses, start.reverses),
        tokens_teacher=known_mean([float(len(one.ids)) for one in taught]),
        tokens_before=start.tokens,
        tokens=end.tokens,
        endless_teacher=known_mean([float(not one.ended) for one in taught]),
        endless_before=start.endless,
        endless=end.endless,
    )
    health.warnings.extend([*_of_distance(health, held_out), *_of_answers(health)])
    return health


def _of_distance(health: DistillHealth, held_out: int) -> list[Warned]:
    warnings = []
    measured = min(held_out, health.prompts)
    if measured < FEW:
        warnings.append(
            Warned(
                Trouble.FEW,
                f"{measured} held-out prompts are measured",
                f"hold out {FEW} or more (60 are better), and raise --fresh: fewer tell nothing "
                "apart",
            )
        )
    forward, reverse = health.forward_change, health.reverse_change
    if not (forward.high < 0 or reverse.high < 0):
        warnings.append(
            Warned(
                Trouble.NOT_NEARER,
                f"the divergence from the teacher changed by {_signed(forward)} (forward) and "
                f"{_signed(reverse)} (reverse) nats per token",
                "the training changed nothing measurable: try more --steps, a higher "
                "--learning-rate, or more held-out prompts",
            )
        )
    if reverse.high < 0 and forward.low > 0:
        warnings.append(
            Warned(
                Trouble.MODES_LOST,
                f"the student writes more as the teacher does ({_signed(reverse)}), but finds the "
                f"teacher's own answers less likely ({_signed(forward)} nats per token)",
                "the student took some of the teacher's ways to answer and gave up the others: "
                "--kl forward keeps them all; a lower --learning-rate or fewer --steps lose fewer",
            )
        )
    return warnings


def _of_answers(health: DistillHealth) -> list[Warned]:
    """Return what fresh answers show, against the teacher's: their length and their ends."""
    warnings = []
    shown = (
        f"fresh answers have {health.tokens:.0f} tokens, the teacher's {health.tokens_teacher:.0f}"
    )
    if health.tokens > _LONGER * health.tokens_teacher:
        advice = "train for more --steps, or raise --answer-tokens if the teacher's are cut off"
        warnings.append(Warned(Trouble.LONGER, shown, advice))
    if health.tokens < _SHORTER * health.tokens_teacher:
        advice = "raise --answer-tokens, or try --kl forward"
        warnings.append(Warned(Trouble.SHORTER, shown, advice))
    if health.endless - max(health.endless_teacher, health.endless_before) > _ENDLESS:
        warnings.append(
            Warned(
                Trouble.ENDLESS,
                f"{100 * health.endless:.0f} % of fresh answers do not end: before it were "
                f"{100 * health.endless_before:.0f} %, and of the teacher's "
                f"{100 * health.endless_teacher:.0f} %",
                "raise --answer-tokens, so that the student sees ends, or take fewer --steps",
            )
        )
    return warnings


def _signed(interval: Interval) -> str:
    return f"{interval.mean:+.3g}, {interval.low:+.3g} to {interval.high:+.3g}"
