"""Supervised fine-tuning: learn the answers of rows, by TRL's SFTTrainer."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.train import machine
from selfinstruct.train.adapter import Adapter
from selfinstruct.train.data.encode import (
    IGNORED,
    Encoded,
    Note,
    dataset_of,
    encode_rows,
    prepare_tokenizer,
)
from selfinstruct.train.data.mixture import MixedPart, reported, shown
from selfinstruct.train.data.rows import Split
from selfinstruct.train.fitting import chosen_attention, pack_of
from selfinstruct.train.model_card import data_names, origin
from selfinstruct.train.recipe import Card, Examples, Recipe, Source, Training

log = logging.getLogger(__name__)

# Tokens of a pack, where no row is longer.
_PACK = 512


@dataclass(frozen=True)
class SftSettings:
    """How to train. `options` are fields of TRL's SFTConfig, by their own names."""

    method: str = "lora"  # lora, qlora, or full
    lora_r: int = 16
    merge: bool = True
    max_length: int = 1024
    diverse: bool = True
    patience: int = 1
    seed: int = 0
    options: Mapping[str, Any] | None = None
    last_turn_only: bool = False
    eos_token: str | None = None
    adapter: Adapter | None = None
    attention: str | None = None


@dataclass(frozen=True)
class SftResult:
    """The result, stored as training.json in the model's folder."""

    train_rows: int
    validation_rows: int
    too_long: int
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    validation_losses: list[tuple[int, float]]
    sources: Sequence[MixedPart] = ()


def _encode(split: Split, tokenizer: Any, settings: SftSettings) -> Examples:
    """Return rows as tokens, without those that are too long.

    Raises:
        ConfigError: no training row fits, or nothing could learn to stop.
    """
    base = prepare_tokenizer(tokenizer, settings.eos_token)
    encode = partial(
        encode_rows,
        tokenizer=tokenizer,
        max_length=settings.max_length,
        seed=settings.seed,
        last_turn_only=settings.last_turn_only,
    )
    train = encode(split.train, diverse=base and settings.diverse)
    if not train.rows:
        raise ConfigError(
            f"all {len(split.train)} rows have more than {settings.max_length} tokens; raise "
            "--max-length"
        )
    held_out = encode(split.validation, diverse=False)
    if not held_out.rows:
        log.warning("no row is held out: nothing says when to stop, or which checkpoint is best")
    too_long = [*train.too_long, *held_out.too_long]
    if too_long:
        log.warning(
            "%d rows have more than %d tokens and are left out (%s, …); --max-length raises it",
            len(too_long),
            settings.max_length,
            too_long[0],
        )
    for line in Note.said(train.notes + held_out.notes):
        log.warning(line)
    compared = {"training rows": train.tokens()}
    if held_out.rows:
        compared["validation rows"] = held_out.tokens()
    return Examples(train.rows, held_out.rows, {"too_long": len(too_long)}, compared)


def _check(_: SftSettings, options: Mapping[str, Any]) -> None:
    if options.get("packing_strategy") == "wrapped":
        raise ConfigError(
            "--set packing_strategy=wrapped: cuts rows anywhere, and a row sees its neighbours in "
            "the pack; leave it out, and packs keep rows whole and apart"
        )


def _arguments(settings: SftSettings, examples: Examples) -> dict[str, Any]:
    longest = max(len(row.input_ids) for row in (*examples.train, *examples.held_out))
    options = settings.options or {}
    packed = bool(options.get("packing", True))
    here = machine.this_machine(options)
    # A pack is no longer than it must be: attention costs by its square. Two make 1,024 tokens:
    # about as many rows as TRL's batch of 8.
    pack, batches = max(_PACK, longest), 2 if packed else 1
    if here.gpu and packed:
        lengths = [*map(_length, examples.train)]
        attention = chosen_attention(SFT, settings, options, here)
        at_once = int(options.get("per_device_train_batch_size", 1))
        pack, batches = pack_of(lengths, longest, at_once, here, attention)
    return {
        "max_length": pack,
        "packing": packed,
        "num_train_epochs": 3,
        "warmup_steps": 0.05,
        "per_device_train_batch_size": 1 if packed else 8,
        "gradient_accumulation_steps": batches,
        "per_device_eval_batch_size": 1 if packed else 8,
        "learning_rate": 2e-5 if settings.method == "full" else 2e-4,
    }


def _length(row: Encoded) -> int:
    return len(row.input_ids)


def _learnt(row: Encoded) -> int:
    return sum(label != IGNORED for label in row.labels)


def _classes() -> tuple[Any, Any]:
    from trl import SFTConfig

    from selfinstruct.train.recipes.sft_trainer import Trainer

    return SFTConfig, Trainer


def _result(training: Training[Split, SftSettings]) -> SftResult:
    examples = training.examples
    return SftResult(
        train_rows=len(examples.train),
        validation_rows=len(examples.held_out),
        too_long=examples.dropped["too_long"],
        steps=training.steps,
        tokens=training.tokens,
        seconds=training.seconds,
        losses=training.losses,
        validation_losses=training.validation_losses,
        sources=training.job.data.sources,
    )


def _report(result: SftResult) -> dict[str, Any]:
    lowest = _lowest_loss(result)
    return {**reported(result), "perplexity": None if lowest is None else math.exp(lowest)}


def _card(source: Source, settings: SftSettings, result: SftResult) -> Card:
    lowest = _lowest_loss(result)
    return Card(
        title="Fine-tuned with Self-Instruct",
        tag="sft",
        task="text-generation",
        trained_on=data_names(source),
        data={
            **source.choices,
            "mixture": shown(result.sources),
            "rows": f"{result.train_rows:,}; validated on {result.validation_rows:,}; "
            f"{result.too_long:,} left out as too long",
        },
        outcome={
            "validation loss": "" if lowest is None else f"{lowest:.4f} nats per token",
            "longest row": f"{settings.max_length:,} tokens",
        },
        origin=origin(source),
    )


def _lowest_loss(result: SftResult) -> float | None:
    return min((loss for _, loss in result.validation_losses), default=None)


SFT: Recipe[Split, SftSettings, SftResult] = Recipe(
    name="sft",
    unit="nats per token",
    encode=_encode,
    dataset=dataset_of,
    sequences=lambda row: (_length(row),),
    arguments=_arguments,
    # The data is tokenised already, and the model must be found again.
    reserved=frozenset(
        {"output_dir", "max_length", "seed", "dataset_kwargs", "completion_only_loss"}
    ),
    classes=_classes,
    check=_check,
    result=_result,
    report=_report,
    card=_card,
    whole_logits=True,
    learnt=_learnt,
)
