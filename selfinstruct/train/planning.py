"""What a training would do, before the model is loaded: rows, tokens, steps, memory, settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.models.endpoint import require_folder
from selfinstruct.train.arguments import check_settings, fit_here
from selfinstruct.train.checkpoints import check_out, refused
from selfinstruct.train.fitting import Fit, with_way
from selfinstruct.train.libraries import require_trl
from selfinstruct.train.network import load_tokenizer
from selfinstruct.train.recipe import DataT, Examples, Job, Recipe, SettingsT

# The fields of TRL's that a plan shows.
SHOWN = (
    *("num_train_epochs", "learning_rate", "lr_scheduler_type", "warmup_steps", "optim"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "packing"),
    *("gradient_checkpointing", "bf16", "fp16", "use_liger_kernel", "use_cpu"),
)


@dataclass(frozen=True)
class OtherWay:
    """Another way to train the same data: its memory in bytes, and whether this machine has it."""

    method: str
    checkpointing: bool
    bytes: int
    fits: bool


@dataclass(frozen=True)
class Plan:
    """What a training would do.

    Attributes:
        rows: examples to train on.
        held_out: examples to validate on.
        dropped: examples that are left out, by reason.
        tokens: of the examples to train on, once.
        longest: tokens of the longest.
        steps: of the whole training, if it does not stop early.
        fit: how it runs on this machine.
        settings: fields of TRL's configuration as they would be, TRL's own defaults among them.
        others: other ways to train the same data.
    """

    rows: int
    held_out: int
    dropped: Mapping[str, int]
    tokens: int
    longest: int
    steps: int
    fit: Fit
    settings: Mapping[str, Any]
    others: tuple[OtherWay, ...]


def plan(recipe: Recipe[DataT, SettingsT, Any], job: Job[DataT, SettingsT]) -> Plan:
    """Return what `runner.train` would do. No weight is read, and no file is written.

    Raises:
        ConfigError: what `runner.train` would refuse before it loads the model.
    """
    require_folder(job.model)
    require_trl()
    check_out(job.out, job.resume)
    options = check_settings(recipe, job.settings)
    tokenizer = load_tokenizer(job.model)
    examples = recipe.encode(job.data, tokenizer, job.settings)
    fit = fit_here(recipe, job, examples, options)
    config_class, _ = recipe.classes()
    with refused("TRL refuses its options"):
        config = config_class(**fit.arguments)
    lengths = [recipe.sequences(row) for row in examples.train]
    known = {name: getattr(config, name) for name in SHOWN if hasattr(config, name)}
    return Plan(
        rows=len(examples.train),
        held_out=len(examples.held_out),
        dropped=examples.dropped,
        tokens=sum(map(sum, lengths)),
        longest=max(map(max, lengths)),
        steps=_steps(recipe, examples, config, fit.machine.processes),
        fit=fit,
        settings={name: getattr(value, "value", value) for name, value in known.items()},
        others=_others(fit),
    )


def _steps(recipe: Recipe[Any, Any, Any], examples: Examples, config: Any, processes: int) -> int:
    """Return the steps as transformers counts them."""
    if config.max_steps > 0:
        return int(config.max_steps)
    rows = len(examples.train)
    if getattr(config, "packing", False):
        rows = _packs([sum(recipe.sequences(row)) for row in examples.train], config)
    batches = math.ceil(rows / (config.per_device_train_batch_size * processes))
    each: int = max(1, math.ceil(batches / int(config.gradient_accumulation_steps)))
    return math.ceil(float(config.num_train_epochs) * each)


def _packs(lengths: list[int], config: Any) -> int:
    from datasets import Dataset
    from trl.data_utils import pack_dataset

    rows = Dataset.from_dict({"input_ids": [[0] * length for length in lengths]})
    return len(pack_dataset(rows, config.max_length, config.packing_strategy))


def _others(fit: Fit) -> tuple[OtherWay, ...]:
    """Return the ways that a user could choose instead, and the one that is chosen."""
    if fit.way is None:
        return ()
    small = 2 if fit.machine.bfloat16 else 4
    sizes = {"full": 4, "lora": small}
    if fit.machine.gpu:
        sizes["qlora"] = small
    sizes[fit.way.method] = fit.way.weight_bytes
    ways = []
    for method, size in sizes.items():
        for checkpointing in (False, True):
            other = with_way(fit, method=method, weight_bytes=size, checkpointing=checkpointing)
            if (memory := other.memory) is not None:
                ways.append(OtherWay(method, checkpointing, memory.peak, bool(other.fits)))
    return tuple(ways)
