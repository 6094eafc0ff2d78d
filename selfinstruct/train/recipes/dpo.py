"""Direct preference optimisation: prefer the chosen answers, by TRL's DPOTrainer, watched.

The reference model is the policy before its first step. Its log-probabilities are computed once
and kept until the training has ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.train import machine
from selfinstruct.train.adapter import Adapter
from selfinstruct.train.checkpoints import CHECKPOINTS
from selfinstruct.train.data.encode_pairs import EncodedPair, encoded_split
from selfinstruct.train.data.mixture import MixedPart, reported, shown
from selfinstruct.train.data.preference_rows import PreferenceSplit
from selfinstruct.train.health.page import health_page
from selfinstruct.train.health.verdict import Health, Point, health_of
from selfinstruct.train.model_card import held_out_accuracy, pair_rows, preferences_name
from selfinstruct.train.network import load_network
from selfinstruct.train.recipe import Card, Examples, Recipe, Source, Training
from selfinstruct.train.saving import plain

HEALTH = "health.json"
PAGE = "health.html"
# The names in TRL's DPOConfig, which checks them only at the first batch.
LOSSES = frozenset(
    {
        *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard"),
        *("aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
    }
)
_HISTORY = "history.json"


@dataclass(frozen=True)
class DpoSettings:
    """How to train. `options` are fields of TRL's DPOConfig, by their own names."""

    method: str = "lora"  # lora, qlora, or full
    lora_r: int = 16
    merge: bool = True
    beta: float = 0.1
    loss_type: tuple[str, ...] = ("sigmoid",)
    max_length: int = 1024
    patience: int = 1
    # Each evaluation samples new answers: the number of held-out prompts, and the most tokens.
    fresh: int = 32
    fresh_tokens: int = 128
    seed: int = 0
    options: Mapping[str, Any] | None = None
    eos_token: str | None = None
    adapter: Adapter | None = None
    attention: str | None = None


@dataclass(frozen=True)
class DpoResult:
    """The result, stored as training.json in the model's folder; its health is in health.json."""

    train_pairs: int
    held_out_pairs: int
    dropped: Mapping[str, int]
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    history: list[Point]
    health: Health
    sources: Sequence[MixedPart] = ()


def _encode(split: PreferenceSplit, tokenizer: Any, settings: DpoSettings) -> Examples:
    return encoded_split(split, tokenizer, settings.max_length, settings.eos_token)


def _dataset(pairs: Sequence[EncodedPair]) -> Any:
    from datasets import Dataset

    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    return Dataset.from_list([{name: getattr(pair, name) for name in names} for pair in pairs])


def _check(settings: DpoSettings, _: Mapping[str, Any]) -> None:
    unknown = sorted(set(settings.loss_type) - LOSSES)
    if unknown:
        raise ConfigError(
            f"--loss-type {','.join(unknown)}: is none of TRL's; "
            f"{did_you_mean(unknown[0], LOSSES)}there are: {', '.join(sorted(LOSSES))}"
        )


def _arguments(settings: DpoSettings, _: Examples) -> dict[str, Any]:
    # On a CPU fewer pairs at once are faster: with less padding, and cores as busy.
    at_once = 4 if machine.this_machine(settings.options).gpu else 2
    chosen = "per_device_train_batch_size" in (settings.options or {})
    return {
        "max_length": None,  # longer pairs were left out
        "num_train_epochs": 2,
        "warmup_steps": 0.1,
        "beta": settings.beta,
        "loss_type": list(settings.loss_type),
        "precompute_ref_log_probs": True,
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": 2 if chosen else 8 // at_once,
        "per_device_eval_batch_size": 4,
        "learning_rate": 5e-6 if settings.method == "full" else 3e-4,
    }


def _classes() -> tuple[Any, Any]:
    from trl import DPOConfig

    from selfinstruct.train.recipes.dpo_trainer import Trainer

    return DPOConfig, Trainer


def _prepare(training: Training[PreferenceSplit, DpoSettings]) -> None:
    """Score the pairs under the reference model, and watch the policy's health from now on."""
    from selfinstruct.train.health.fresh import FreshPrompts, without_adapter
    from selfinstruct.train.health.watch import HealthWatch

    job, trainer = training.job, training.trainer
    settings = job.settings
    trainer.compute_reference()
    reference = partial(without_adapter, trainer.model)
    if settings.method == "full":
        reference = partial(lent, loaded_reference(job.model, trainer.model))
    pairs = training.examples.held_out or training.examples.train
    prompts = _distinct([pair.prompt_ids for pair in pairs])[: settings.fresh]
    fresh = FreshPrompts(prompts, settings.fresh_tokens, settings.seed)
    trainer.watch = HealthWatch(trainer, reference, fresh, job.out / CHECKPOINTS / _HISTORY)
    trainer.add_callback(trainer.watch)


def _result(training: Training[PreferenceSplit, DpoSettings]) -> DpoResult:
    examples, trainer = training.examples, training.trainer
    history = trainer.watch.until_saved()
    pairs = trainer.held_out_pairs() if examples.held_out else []
    return DpoResult(
        train_pairs=len(examples.train),
        held_out_pairs=len(examples.held_out),
        dropped=examples.dropped,
        steps=training.steps,
        tokens=training.tokens,
        seconds=training.seconds,
        losses=training.losses,
        history=history,
        health=health_of(pairs, history, training.job.settings.beta),
        sources=training.job.data.sources,
    )


def _report(result: DpoResult) -> dict[str, Any]:
    return {**reported(result), "objective": "dpo"}


def _files(result: DpoResult) -> dict[str, str]:
    health = plain(asdict(result.health))
    return {HEALTH: json.dumps(health, indent=2) + "\n", PAGE: health_page(result)}


def _card(source: Source, settings: DpoSettings, result: DpoResult) -> Card:
    health = result.health
    warnings = "; ".join(warned.found for warned in health.warnings)
    return Card(
        title="Trained on preferences, by DPO",
        tag="dpo",
        task="text-generation",
        trained_on=preferences_name(source),
        data={
            "mixture": shown(result.sources),
            **source.choices,
            **pair_rows(result.train_pairs, result.held_out_pairs, result.dropped),
        },
        outcome={
            "beta": settings.beta,
            "loss": ", ".join(settings.loss_type),
            "health": warnings or "nothing is wrong that the report would show",
            "held-out accuracy": held_out_accuracy(health.accuracy),
        },
    )


def _watched(settings: DpoSettings, examples: Examples) -> int:
    """Return the positions of fresh answers, and their prompts, that are scored at once."""
    from selfinstruct.train.health.fresh import SCORED

    pairs: Sequence[EncodedPair] = examples.held_out or examples.train
    longest = max(len(pair.prompt_ids) for pair in pairs)
    return min(SCORED, len(pairs)) * (longest + settings.fresh_tokens)


def _distinct(prompts: Sequence[list[int]]) -> list[list[int]]:
    return [list(prompt) for prompt in dict.fromkeys(tuple(prompt) for prompt in prompts)]


def loaded_reference(model: LocalModel, policy: Any) -> Any:
    """Return the model as it was before all of its weights were trained."""
    network, _ = load_network(model)
    return network.to(next(policy.parameters()).device).eval()


@contextmanager
def lent(network: Any) -> Iterator[Any]:
    """Lend a network as it is."""
    yield network


DPO: Recipe[PreferenceSplit, DpoSettings, DpoResult] = Recipe(
    name="dpo",
    unit="nats per pair",
    encode=_encode,
    dataset=_dataset,
    sequences=EncodedPair.sequences,
    arguments=_arguments,
    # The last line would give another implicit reward than the one that health measures.
    reserved=frozenset(
        {
            *("output_dir", "seed", "max_length", "precompute_ref_log_probs", "beta", "loss_type"),
            *("ld_alpha", "f_divergence_type", "f_alpha_divergence_coef"),
        }
    ),
    classes=_classes,
    check=_check,
    prepare=_prepare,
    result=_result,
    report=_report,
    files=_files,
    card=_card,
    reference=True,
    outside_autocast=True,
    watched=_watched,
)
