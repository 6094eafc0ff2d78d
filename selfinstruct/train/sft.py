"""Supervised fine-tuning: a thin call of TRL's SFTTrainer, and a model that loads anywhere."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.memory import keep_freed_memory
from selfinstruct.common.records import LocalModel
from selfinstruct.train.arguments import trl_arguments
from selfinstruct.train.checkpoints import (
    CHECKPOINTS,
    asked_for,
    begin,
    check_asked,
    check_out,
    refused,
    written,
)
from selfinstruct.train.encode import EncodedRows, dataset_of, encode_rows, prepare_tokenizer
from selfinstruct.train.libraries import quiet, require_trl
from selfinstruct.train.network import load_network, load_tokenizer, merged_network
from selfinstruct.train.progress import Listen, is_main_process
from selfinstruct.train.rows import Split
from selfinstruct.train.saving import save_model

log = logging.getLogger(__name__)

# Tokens of a pack, where no row is longer.
_PACK = 512
# What is ours to set: the data is tokenised already, and the model must be found again.
_RESERVED = {
    "output_dir",
    "max_length",
    "seed",
    "dataset_kwargs",
    "completion_only_loss",
}


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


@dataclass(frozen=True)
class SftResult:
    """What came of it; stored as training.json in the model's folder."""

    train_rows: int
    validation_rows: int
    too_long: int
    steps: int
    tokens: int
    seconds: float
    losses: list[tuple[int, float]]
    validation_losses: list[tuple[int, float]]


def train_sft(
    split: Split,
    model: LocalModel,
    out: Path,
    settings: SftSettings,
    listen: Listen,
    *,
    resume: bool = False,
    card: Callable[[SftResult], str] | None = None,
) -> SftResult:
    """Fine-tune a model on rows, and save it into a folder that vLLM and transformers load.

    LoRA adapters are trained in float32 over weights in bfloat16, and merged in float32; all
    weights (`full`) are kept in float32 under bfloat16 autocast: so no update is lost.

    Args:
        split: what to learn, and what to validate with.
        model: where to start from.
        out: the folder; checkpoints lie in it until training has ended.
        settings: how.
        listen: told of every logged step.
        resume: go on from the last whole checkpoint in `out`.
        card: writes README.md from the result.

    Raises:
        ConfigError: rows, model or settings cannot be used; nothing was written.
        TrainError: the loss is not a number any more, or a checkpoint cannot be written.
    """
    require_trl()
    from transformers import EarlyStoppingCallback, set_seed
    from trl import SFTConfig

    from selfinstruct.train.reporter import Reporter
    from selfinstruct.train.sft_trainer import Trainer

    quiet()
    keep_freed_memory()
    checkpoint = check_out(out, resume)
    tokenizer = load_tokenizer(model)
    train, validation, too_long = _encoded(split, tokenizer, settings)
    longest = max(part.longest for part in (train, validation) if part)
    arguments = _arguments(out, settings, len(train.rows), validation is not None, longest)
    with refused("TRL refuses its options"):
        config = SFTConfig(**arguments)
    own = {key: value for key, value in asdict(settings).items() if key != "merge"}
    rows = {"training rows": train.tokens()}
    if validation is not None:
        rows["validation rows"] = validation.tokens()
    asked = asked_for(model, own, rows)
    check_asked(out, asked, resume)
    set_seed(settings.seed)
    with refused(f"{model.path}: cannot be loaded to be trained"):
        network, adapter = load_network(model, settings.method, settings.lora_r)
    reporter = Reporter(listen, out / CHECKPOINTS, checkpoint)
    callbacks = []
    if config.load_best_model_at_end and settings.patience > 0:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=settings.patience))
    with refused("TRL refuses its options", made=None if checkpoint else out / CHECKPOINTS):
        trainer = Trainer(
            model=network,
            args=config,
            train_dataset=dataset_of(train.rows),
            eval_dataset=dataset_of(validation.rows) if validation else None,
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=callbacks,
            reporter=reporter,
        )
    begin(out, asked)
    with written(out):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    history = trainer.state.log_history
    result = SftResult(
        train_rows=len(train.rows),
        validation_rows=len(validation.rows) if validation else 0,
        too_long=len(too_long),
        steps=trainer.state.global_step,
        tokens=reporter.tokens,
        seconds=round(reporter.seconds, 1),
        losses=[(row["step"], row["loss"]) for row in history if "loss" in row],
        validation_losses=[
            (row["step"], row["eval_loss"]) for row in history if "eval_loss" in row
        ],
    )
    if is_main_process():
        network = trainer.model
        if settings.merge:
            network = merged_network(network, tokenizer, model, settings.method)
        told = {**asdict(result), "perplexity": _perplexity(result)}
        save_model(network, tokenizer, out, told, card=card(result) if card else None)
    return result


def _encoded(
    split: Split, tokenizer: Any, settings: SftSettings
) -> tuple[EncodedRows, EncodedRows | None, list[str]]:
    """Return training and validation rows as tokens, and the ids of those that are too long.

    Raises:
        ConfigError: no training row fits, or nothing could learn to stop.
    """
    base = prepare_tokenizer(tokenizer)
    encode = partial(
        encode_rows, tokenizer=tokenizer, max_length=settings.max_length, seed=settings.seed
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
    return train, held_out if held_out.rows else None, too_long


def _arguments(
    out: Path, settings: SftSettings, rows: int, validated: bool, longest: int
) -> dict[str, Any]:
    """Return SFTConfig's fields: ours, and over them what the user gives by TRL's names."""
    full = settings.method == "full"
    packed = bool((settings.options or {}).get("packing", True))
    return trl_arguments(
        out,
        settings.seed,
        rows,
        validated=validated,
        own={
            # A pack is no longer than it must be: attention costs by its square.
            "max_length": max(_PACK, longest),
            "packing": packed,
            "num_train_epochs": 3,
            "warmup_steps": 0.05,
            "per_device_train_batch_size": 1 if packed else 8,
            # 1,024 tokens: about as many rows as TRL's batch of 8.
            "gradient_accumulation_steps": 2 if packed else 1,
            "per_device_eval_batch_size": 1 if packed else 8,
            "learning_rate": 2e-5 if full else 2e-4,
        },
        given=settings.options,
        reserved=_RESERVED,
    )


def _perplexity(result: SftResult) -> float | None:
    if not result.validation_losses:
        return None
    return math.exp(min(loss for _, loss in result.validation_losses))
