"""A reward model: score answers, by Bradley and Terry's model of pairs and TRL's RewardTrainer.

The loss of a pair is −log sigmoid(r(chosen) − r(rejected)) (Ouyang et al. 2022,
arXiv:2203.02155, eq. 1). The new head is trained whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from selfinstruct.labellers.reward import token_scores
from selfinstruct.train.adapter import Adapter
from selfinstruct.train.data.encode_pairs import EncodedPair, encode_pairs, encoded_split
from selfinstruct.train.data.mixture import MixedPart, reported, shown
from selfinstruct.train.data.preference_rows import PreferenceRow, PreferenceSplit
from selfinstruct.train.model_card import held_out_accuracy, pair_rows, preferences_name
from selfinstruct.train.recipe import Card, Examples, Job, Recipe, Source, Training
from selfinstruct.train.recipes.reward_report import (
    Check,
    CheckReport,
    RewardReport,
    ScoredPair,
    check_report,
    reward_report,
)


@dataclass(frozen=True)
class RewardSettings:
    """How to train. `options` are fields of TRL's RewardConfig, by their own names."""

    method: str = "lora"  # lora, qlora, or full
    lora_r: int = 16
    max_length: int = 1024
    patience: int = 1
    seed: int = 0
    options: Mapping[str, Any] | None = None
    eos_token: str | None = None
    adapter: Adapter | None = None
    attention: str | None = None
    # No field: an adapter alone would not load as a reward model.
    merge: ClassVar[bool] = True


@dataclass(frozen=True)
class RewardData:
    """Pairs to learn from, and pairs with a clear winner to try the model on."""

    pairs: PreferenceSplit
    checks: Sequence[Check] = ()


@dataclass(frozen=True)
class RewardResult:
    """The result, stored as training.json in the model's folder."""

    train_pairs: int
    held_out_pairs: int
    dropped: Mapping[str, int]
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    validation_losses: list[tuple[int, float]]
    held_out: RewardReport
    checks: CheckReport | None
    sources: Sequence[MixedPart] = ()


def _encode(data: RewardData, tokenizer: Any, settings: RewardSettings) -> Examples:
    return encoded_split(data.pairs, tokenizer, settings.max_length, settings.eos_token)


def _dataset(pairs: Sequence[EncodedPair]) -> Any:
    """Return pairs as the trainer reads them, weights scaled to a mean of pair."""
    from datasets import Dataset

    mean = sum(pair.weight for pair in pairs) / len(pairs)
    return Dataset.from_list(
        [
            {
                "chosen_ids": pair.prompt_ids + pair.chosen_ids,
                "rejected_ids": pair.prompt_ids + pair.rejected_ids,
                "weight": pair.weight / mean,
            }
            for pair in pairs
        ]
    )


def reward_arguments(settings: RewardSettings, _: Examples) -> dict[str, Any]:
    """Return the fields of TRL's that every reward model is trained with."""
    return {
        "max_length": None,  # longer pairs were left out
        "num_train_epochs": 2,
        "warmup_steps": 0.1,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "learning_rate": 1e-5 if settings.method == "full" else 1e-4,
        # Rewards stay near zero, so that those of two models can be compared.
        "center_rewards_coefficient": 0.01,
    }


def _classes() -> tuple[Any, Any]:
    from trl import RewardConfig

    from selfinstruct.train.recipes.reward_trainer import Trainer

    return RewardConfig, Trainer


def _trainer_arguments(_: Job[RewardData, RewardSettings], tokenizer: Any) -> dict[str, Any]:
    from selfinstruct.train.recipes.reward_trainer import Collator

    return {"data_collator": Collator(pad_token_id=tokenizer.pad_token_id)}


def _result(training: Training[RewardData, RewardSettings]) -> RewardResult:
    """Report on the model as it is saved: merged, in float32."""
    examples, data = training.examples, training.job.data
    return RewardResult(
        train_pairs=len(examples.train),
        held_out_pairs=len(examples.held_out),
        dropped=examples.dropped,
        steps=training.steps,
        tokens=training.tokens,
        seconds=training.seconds,
        losses=training.losses,
        validation_losses=training.validation_losses,
        held_out=_held_out_report(training.network, data.pairs.held_out, examples.held_out),
        checks=checked_network(training, data.checks) if data.checks else None,
        sources=data.pairs.sources,
    )


def _report(result: RewardResult) -> dict[str, Any]:
    return {**reported(result), "objective": "reward"}


def _card(source: Source, _: RewardSettings, result: RewardResult) -> Card:
    checks = ""
    if result.checks:
        checks = f"{100 * result.checks.accuracy.mean:.0f} % of {result.checks.checks}"
    accuracy = result.held_out.accuracy
    return Card(
        title="A reward model",
        tag="reward-model",
        task="text-classification",
        trained_on=preferences_name(source),
        data={
            "mixture": shown(result.sources),
            **source.choices,
            **pair_rows(result.train_pairs, result.held_out_pairs, result.dropped),
        },
        outcome={"checks": checks, "held-out accuracy": held_out_accuracy(accuracy)},
    )


def _scores(network: Any, pairs: Sequence[EncodedPair]) -> tuple[list[float], list[float]]:
    network.eval()
    scores = token_scores(
        network,
        [pair.prompt_ids + ids for pair in pairs for ids in (pair.chosen_ids, pair.rejected_ids)],
    )
    return scores[::2], scores[1::2]


def _held_out_report(
    network: Any, rows: Sequence[PreferenceRow], pairs: Sequence[EncodedPair]
) -> RewardReport:
    by_id = {row.id: row for row in rows}
    chosen, rejected = _scores(network, pairs)
    return reward_report(
        [
            ScoredPair(
                good,
                bad,
                len(by_id[pair.id].chosen.split()),
                len(by_id[pair.id].rejected.split()),
            )
            for pair, good, bad in zip(pairs, chosen, rejected, strict=True)
        ]
    )


def checked_network(
    training: Training[Any, RewardSettings], checks: Sequence[Check]
) -> CheckReport:
    """Return how many checks a trained network gets right, and which ones it misses."""
    max_length = training.job.settings.max_length
    rows = [check.row for check in checks]
    pairs = encode_pairs(rows, training.tokenizer, max_length=max_length, dropped=Counter())
    fitting = {pair.id for pair in pairs}
    kept = [check for check in checks if check.row.id in fitting]
    chosen, rejected = _scores(training.network, pairs)
    return check_report(kept, chosen, rejected, left_out=len(checks) - len(kept))


REWARD: Recipe[RewardData, RewardSettings, RewardResult] = Recipe(
    name="reward",
    unit="nats per pair",
    encode=_encode,
    dataset=_dataset,
    sequences=EncodedPair.sequences,
    arguments=reward_arguments,
    reserved=frozenset({"output_dir", "seed", "max_length"}),
    classes=_classes,
    trainer_arguments=_trainer_arguments,
    result=_result,
    report=_report,
    card=_card,
    scores=True,
)
