"""A reward model from absolute scores: the mean squared error instead of Bradley and Terry's model.

The loss of an answer is (r − z)², where z is its score in standard deviations from the mean of
the training answers: the network's new head has no bias, and so begins near 0. `training.json`
has mean and deviation, by which a reward becomes a score again. The head is trained whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import StatisticsError, correlation, fmean, pstdev
from typing import Any

from selfinstruct.labellers.reward import token_scores
from selfinstruct.train.data.mixture import MixedPart, reported, shown
from selfinstruct.train.data.scored import EncodedScore, ScoredSplit, encoded_scores
from selfinstruct.train.health.verdict import Interval, share
from selfinstruct.train.model_card import held_out_accuracy, preferences_name
from selfinstruct.train.recipe import Card, Examples, Job, Recipe, Source, Training
from selfinstruct.train.recipes.reward import RewardSettings, checked_network, reward_arguments
from selfinstruct.train.recipes.reward_report import Check, CheckReport


@dataclass(frozen=True)
class RegressionData:
    """Scored answers to learn from, and pairs with a clear winner to try the model on."""

    answers: ScoredSplit
    checks: Sequence[Check] = ()


@dataclass(frozen=True)
class RegressionReport:
    """How near the rewards are to the scores of answers that the model has not seen.

    `error` is the mean squared error and `explained` is 1 − error ÷ variance of the scores (R²),
    both of scores in standard deviations of the training answers. `correlation` is Pearson's.
    `accuracy` is the share of pairs of answers to one prompt that are ordered as their scores
    are, of `pairs` whose scores differ, with Wilson's interval (1927), 95 %: it takes pairs as
    independent, so it is too narrow where prompts have many answers.
    """

    answers: int
    error: float
    explained: float
    correlation: float
    pairs: int
    accuracy: Interval


@dataclass(frozen=True)
class RegressionResult:
    """The result, stored as training.json in the model's folder.

    `score_mean` and `score_deviation` are of the training answers' scores.
    """

    train_answers: int
    held_out_answers: int
    dropped: Mapping[str, int]
    score_mean: float
    score_deviation: float
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    validation_losses: list[tuple[int, float]]
    held_out: RegressionReport
    checks: CheckReport | None
    sources: Sequence[MixedPart] = ()


def scale_of(rows: Sequence[EncodedScore]) -> tuple[float, float]:
    """Return mean and standard deviation of scores, of which at least two differ."""
    scores = [row.score for row in rows]
    return fmean(scores), pstdev(scores)


def regression_report(
    rows: Sequence[EncodedScore], rewards: Sequence[float], scale: tuple[float, float]
) -> RegressionReport:
    """Return the report on answers.

    Args:
        rows: the answers.
        rewards: of each, in standard deviations.
        scale: mean and standard deviation of the training answers' scores.
    """
    mean, deviation = scale
    known = [
        (row.prompt_id, (row.score - mean) / deviation, reward)
        for row, reward in zip(rows, rewards, strict=True)
        if math.isfinite(reward)
    ]
    scores, found = [one[1] for one in known], [one[2] for one in known]
    error = fmean((s - r) ** 2 for s, r in zip(scores, found, strict=True)) if known else math.nan
    spread = pstdev(scores) if known else 0.0
    try:
        together = correlation(scores, found)
    except StatisticsError:  # fewer than two answers, or all of one score
        together = math.nan
    hits = _ordered(known)
    return RegressionReport(
        answers=len(known),
        error=error,
        explained=1 - error / spread**2 if spread else math.nan,
        correlation=together,
        pairs=len(hits),
        accuracy=share(hits),
    )


def _ordered(known: Sequence[tuple[str, float, float]]) -> list[float]:
    """Return whether rewards order each two answers to one prompt as scores do; a tie is a half."""
    prompts: dict[str, list[tuple[float, float]]] = {}
    for prompt, score, reward in known:
        prompts.setdefault(prompt, []).append((score, reward))
    hits = []
    for answers in prompts.values():
        for (score, reward), (other_score, other_reward) in combinations(answers, 2):
            if score != other_score:
                gap = (reward - other_reward) * (1 if score > other_score else -1)
                hits.append(0.5 if gap == 0 else float(gap > 0))
    return hits


def _encode(data: RegressionData, tokenizer: Any, settings: RewardSettings) -> Examples:
    return encoded_scores(data.answers, tokenizer, settings.max_length, settings.eos_token)


def _dataset(rows: Sequence[EncodedScore]) -> Any:
    from datasets import Dataset

    # TRL knows rows that are tokens already by these two columns.
    return Dataset.from_list(
        [{"chosen_ids": row.ids, "rejected_ids": [], "score": row.score} for row in rows]
    )


def _arguments(settings: RewardSettings, examples: Examples) -> dict[str, Any]:
    return {**reward_arguments(settings, examples), "center_rewards_coefficient": None}


def _classes() -> tuple[Any, Any]:
    from trl import RewardConfig

    from selfinstruct.train.recipes.regression_trainer import Trainer

    return RewardConfig, Trainer


def _trainer_arguments(_: Job[RegressionData, RewardSettings], tokenizer: Any) -> dict[str, Any]:
    from selfinstruct.train.recipes.regression_trainer import Collator

    return {"data_collator": Collator(pad_token_id=tokenizer.pad_token_id)}


def _prepare(training: Training[RegressionData, RewardSettings]) -> None:
    training.trainer.data_collator.scale = scale_of(training.examples.train)


def _result(training: Training[RegressionData, RewardSettings]) -> RegressionResult:
    """Report on the model as it is saved: merged, in float32."""
    examples, data = training.examples, training.job.data
    scale = scale_of(examples.train)
    training.network.eval()
    rewards = token_scores(training.network, [row.ids for row in examples.held_out])
    return RegressionResult(
        train_answers=len(examples.train),
        held_out_answers=len(examples.held_out),
        dropped=examples.dropped,
        score_mean=scale[0],
        score_deviation=scale[1],
        steps=training.steps,
        tokens=training.tokens,
        seconds=training.seconds,
        losses=training.losses,
        validation_losses=training.validation_losses,
        held_out=regression_report(examples.held_out, rewards, scale),
        checks=checked_network(training, data.checks) if data.checks else None,
        sources=data.answers.sources,
    )


def _report(result: RegressionResult) -> dict[str, Any]:
    return {**reported(result), "objective": "reward", "loss": "regression"}


def _card(source: Source, _: RewardSettings, result: RegressionResult) -> Card:
    held = result.held_out
    checks = ""
    if result.checks:
        checks = f"{100 * result.checks.accuracy.mean:.0f} % of {result.checks.checks}"
    return Card(
        title="A reward model, from scores",
        tag="reward-model",
        task="text-classification",
        trained_on=preferences_name(source),
        data={
            "mixture": shown(result.sources),
            **source.choices,
            "answers": f"{result.train_answers:,}; held out {result.held_out_answers:,}",
            "dropped": ", ".join(f"{count:,} {why}" for why, count in result.dropped.items()),
            "a score is": f"{result.score_mean:.4g} + {result.score_deviation:.4g} · reward",
        },
        outcome={
            "checks": checks,
            "held-out correlation": f"{held.correlation:.2f}",
            "held-out error, in variances of the scores": f"{held.error:.2f}",
            "held-out accuracy": held_out_accuracy(held.accuracy),
        },
    )


REGRESSION: Recipe[RegressionData, RewardSettings, RegressionResult] = Recipe(
    name="reward",
    unit="squared standard deviations of the scores",
    encode=_encode,
    dataset=_dataset,
    sequences=EncodedScore.sequences,
    arguments=_arguments,
    reserved=frozenset({"output_dir", "seed", "max_length", "center_rewards_coefficient"}),
    classes=_classes,
    trainer_arguments=_trainer_arguments,
    prepare=_prepare,
    result=_result,
    report=_report,
    card=_card,
    scores=True,
)
