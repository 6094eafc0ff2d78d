"""Measures a policy that learns from rewards, by fresh answers to held-out prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from selfinstruct.train.data.prompts import EncodedPrompt
from selfinstruct.train.health.fresh import fresh_samples
from selfinstruct.train.health.history import History
from selfinstruct.train.health.rl_verdict import RlPoint, hacked, known_mean
from selfinstruct.train.rewards.base import Answered, Lend, Score


@dataclass(frozen=True)
class Scorers:
    """What scores answers: each reward with its weight, by name, and the independent scorer."""

    rewards: dict[str, tuple[float, Score]]
    gold: Score | None = None


@dataclass(frozen=True)
class Watched:
    """What is watched: prompts to answer anew, the sampling, and the penalty.

    `stops` says that a hacked reward ends the training.
    """

    rows: Sequence[EncodedPrompt]
    max_tokens: int
    seed: int
    beta: float
    stops: bool = False


@dataclass(frozen=True)
class Networks:
    """A policy, what lends its reference, and the tokenizer of both."""

    policy: Any
    reference: Lend
    tokenizer: Any


def fresh_point(
    networks: Networks, watched: Watched, scorers: Scorers, at: tuple[int, float]
) -> RlPoint:
    """Have a policy answer prompts anew at temperature 1, and score the answers.

    Args:
        networks: the policy, and what it is compared with.
        watched: prompts and sampling.
        scorers: what scores.
        at: step and epoch of the point.
    """
    rows = watched.rows
    samples = fresh_samples(
        networks.policy,
        networks.reference,
        networks.tokenizer,
        [row.ids for row in rows],
        max_tokens=watched.max_tokens,
        seed=watched.seed,
    )
    texts = networks.tokenizer.batch_decode(
        [list(sample.ids) for sample in samples], skip_special_tokens=True
    )
    answers = [
        Answered(row.prompt, text, row.ids, sample.ids)
        for row, text, sample in zip(rows, texts, samples, strict=True)
    ]
    by_reward = {name: score(answers) for name, (_, score) in scorers.rewards.items()}
    weights = [weight for weight, _ in scorers.rewards.values()]
    step, epoch = at
    return RlPoint(
        step=step,
        epoch=epoch,
        scores=[_summed(weights, each) for each in zip(*by_reward.values(), strict=True)],
        golds=[] if scorers.gold is None else scorers.gold(answers),
        rewards={name: known_mean(scores) for name, scores in by_reward.items()},
        divergence=fmean(sample.divergence for sample in samples),
        entropy=fmean(sample.entropy for sample in samples),
        tokens=fmean(sample.tokens for sample in samples),
        endless=fmean(not sample.ended for sample in samples),
    )


class RlWatch(History[RlPoint]):
    """Keeps a history of fresh answers and their scores, which survives a resume."""

    def __init__(
        self, trainer: Any, reference: Lend, watched: Watched, scorers: Scorers, path: Path
    ) -> None:
        super().__init__(trainer, path, RlPoint)
        self._reference = reference
        self._watched = watched
        self._scorers = scorers

    def look(self) -> None:
        trainer = self._trainer
        trainer.reporter.waits_for("fresh answers", 0, 1)
        networks = Networks(trainer.model, self._reference, trainer.processing_class)
        at = (trainer.state.global_step, float(trainer.state.epoch or 0.0))
        self.keep(fresh_point(networks, self._watched, self._scorers, at))

    def metrics(self) -> dict[str, float]:
        """Return the last point as the trainer logs it; the loss is what is minimised."""
        point = self.history[-1]
        found = {
            "eval_loss": -point.objective(self._watched.beta),
            "eval_reward": point.reward,
            "eval_kl": point.divergence,
            "eval_entropy": point.entropy,
            "eval_tokens": point.tokens,
            "eval_endless": point.endless,
        }
        return found if self._scorers.gold is None else {**found, "eval_gold": point.gold}

    def on_evaluate(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        if self._watched.stops and hacked(self.history) is not None:
            control.should_training_stop = True


def _summed(weights: Sequence[float], scores: Sequence[float]) -> float:
    """Return the weighted sum of what could be scored, as TRL sums; NaN where nothing could."""
    known = [
        weight * score
        for weight, score in zip(weights, scores, strict=True)
        if not math.isnan(score)
    ]
    return sum(known) if known else math.nan
