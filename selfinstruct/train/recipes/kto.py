"""KTO: learn from single answers that people liked or did not, by TRL's KTOTrainer.

The loss of an answer is 1 − sigmoid(±beta·(r − z)), where r is the log-ratio of policy and
reference, z an estimate of their KL divergence, and the sign that of the label (Ethayarajh et al.
2024, arXiv:2402.01306, eq. 7).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.train.adapter import Adapter
from selfinstruct.train.data.labelled import EncodedAnswer, LabelledSplit, encoded_labelled
from selfinstruct.train.data.mixture import MixedPart, reported, shown
from selfinstruct.train.model_card import preferences_name
from selfinstruct.train.recipe import Card, Examples, Recipe, Source, Training


@dataclass(frozen=True)
class KtoSettings:
    """How to train. `options` are fields of TRL's KTOConfig, by their own names."""

    method: str = "lora"  # lora, qlora, or full
    lora_r: int = 16
    merge: bool = True
    beta: float = 0.1
    max_length: int = 1024
    patience: int = 1
    seed: int = 0
    options: Mapping[str, Any] | None = None
    eos_token: str | None = None
    adapter: Adapter | None = None
    attention: str | None = None


@dataclass(frozen=True)
class KtoResult:
    """The result, stored as training.json in the model's folder.

    `rewards` are means over held-out answers, liked and disliked, at every evaluation: the
    implicit reward beta·log(policy ÷ reference), in nats.
    """

    liked: int
    disliked: int
    held_out: int
    dropped: Mapping[str, int]
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    validation_losses: list[tuple[int, float]]
    rewards: list[tuple[int, float, float]]
    sources: Sequence[MixedPart] = ()


def _encode(split: LabelledSplit, tokenizer: Any, settings: KtoSettings) -> Examples:
    """Return answers as tokens, in a seeded order: TRL reads them as they come."""
    examples = encoded_labelled(split, tokenizer, settings.max_length, settings.eos_token)
    train, held = list(examples.train), list(examples.held_out)
    rng = random.Random(settings.seed)
    rng.shuffle(train)
    rng.shuffle(held)
    return Examples(train, held, examples.dropped, examples.compared)


def _dataset(rows: Sequence[EncodedAnswer]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(
        [
            {
                "prompt_ids": row.prompt_ids,
                "completion_ids": row.completion_ids,
                "label": row.liked,
            }
            for row in rows
        ]
    )


def _check(_: KtoSettings, options: Mapping[str, Any]) -> None:
    size = options.get("per_device_train_batch_size")
    if size is not None and size < 2:
        raise ConfigError(
            f"--set per_device_train_batch_size={size}: KTO compares an answer with others of its "
            "batch; give 2 or more"
        )


def _arguments(settings: KtoSettings, examples: Examples) -> dict[str, Any]:
    size = (settings.options or {}).get("per_device_train_batch_size", 8)
    liked = sum(row.liked for row in examples.train)
    disliked = len(examples.train) - liked
    return {
        "max_length": None,  # longer answers were left out
        "num_train_epochs": 2,
        "warmup_steps": 0.1,
        "beta": settings.beta,
        "per_device_train_batch_size": size,
        # The answers that estimate the KL term are those of the same batch.
        "per_device_eval_batch_size": size,
        "learning_rate": 5e-6 if settings.method == "full" else 3e-4,
        # The rarer kind weighs as much as the other one (eq. 8).
        "desirable_weight": max(1.0, disliked / liked),
        "undesirable_weight": max(1.0, liked / disliked),
    }


def _classes() -> tuple[Any, Any]:
    from trl import KTOConfig

    from selfinstruct.train.recipes.kto_trainer import Trainer

    return KTOConfig, Trainer


def _result(training: Training[LabelledSplit, KtoSettings]) -> KtoResult:
    examples = training.examples
    liked = sum(row.liked for row in examples.train)
    names = ("eval_rewards/chosen", "eval_rewards/rejected")
    history = training.trainer.state.log_history
    return KtoResult(
        liked=liked,
        disliked=len(examples.train) - liked,
        held_out=len(examples.held_out),
        dropped=examples.dropped,
        steps=training.steps,
        tokens=training.tokens,
        seconds=training.seconds,
        losses=training.losses,
        validation_losses=training.validation_losses,
        rewards=[
            (row["step"], row[names[0]], row[names[1]])
            for row in history
            if all(name in row for name in names)
        ],
        sources=training.job.data.sources,
    )


def _report(result: KtoResult) -> dict[str, Any]:
    return {**reported(result), "objective": "kto"}


def _card(source: Source, settings: KtoSettings, result: KtoResult) -> Card:
    rewards = ""
    if result.rewards:
        _, liked, disliked = result.rewards[-1]
        rewards = f"liked {liked:+.2f}, disliked {disliked:+.2f} nats"
    return Card(
        title="Trained on liked and disliked answers, by KTO",
        tag="kto",
        task="text-generation",
        trained_on=preferences_name(source),
        data={
            "mixture": shown(result.sources),
            **source.choices,
            "answers": f"{result.liked:,} liked, {result.disliked:,} disliked; held out "
            f"{result.held_out:,}",
            "dropped": ", ".join(f"{count:,} {why}" for why, count in result.dropped.items()),
        },
        outcome={"beta": settings.beta, "implicit rewards of held-out answers": rewards},
    )


KTO: Recipe[LabelledSplit, KtoSettings, KtoResult] = Recipe(
    name="kto",
    unit="",
    encode=_encode,
    dataset=_dataset,
    sequences=lambda answer: (len(answer.prompt_ids) + len(answer.completion_ids),),
    arguments=_arguments,
    reserved=frozenset(
        {
            *("output_dir", "seed", "max_length", "beta", "precompute_ref_log_probs"),
            *("train_sampling_strategy", "per_device_eval_batch_size"),
        }
    ),
    classes=_classes,
    check=_check,
    result=_result,
    report=_report,
    card=_card,
    reference=True,
)
