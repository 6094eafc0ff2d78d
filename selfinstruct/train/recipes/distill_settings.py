"""How a student is distilled from a teacher: our settings, and what follows from them for TRL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.train.adapter import Adapter
from selfinstruct.train.recipe import Examples
from selfinstruct.train.recipes.rl_settings import watched_fields

# Answers of a step, and answers that go through the networks at once.
_ANSWERS, _AT_ONCE = 16, 8
# How often a training is watched.
_LOOKS = 4


@dataclass(frozen=True)
class DistillSettings:
    """How to train. `options` are fields of TRL's DistillationConfig, by their own names.

    Attributes:
        kl: `forward`: KL(teacher ‖ student) over the teacher's answers; `reverse`:
            KL(student ‖ teacher) over the student's own.
        answer_tokens: the most tokens of an answer.
        steps: of the whole training.
        fresh: held-out prompts that each look answers.
    """

    kl: str = "forward"
    method: str = "lora"  # lora, qlora, or full
    lora_r: int = 16
    merge: bool = True
    answer_tokens: int = 128
    steps: int = 100
    max_length: int = 1024
    patience: int = 0
    fresh: int = 64
    seed: int = 0
    options: Mapping[str, Any] | None = None
    eos_token: str | None = None
    adapter: Adapter | None = None
    attention: str | None = None


def settled(settings: DistillSettings) -> dict[str, Any]:
    """Return the fields that need no data, so that TRL can check them together."""
    chosen = settings.options or {}
    at_once = int(chosen.get("per_device_train_batch_size") or _AT_ONCE)
    return {
        # TRL's name for the place between forward (0) and reverse (1).
        "beta": 0.0 if settings.kl == "forward" else 1.0,
        "max_completion_length": settings.answer_tokens,
        "max_steps": settings.steps,
        "per_device_train_batch_size": at_once,
        "per_device_eval_batch_size": at_once,
        "gradient_accumulation_steps": max(1, _ANSWERS // at_once),
    }


def check_sampling(settings: DistillSettings, options: Mapping[str, Any]) -> None:
    if options.get("use_vllm") and settings.kl == "forward":
        raise ConfigError(
            "--set use_vllm=true: vLLM samples from the student alone, and --kl forward needs the "
            "teacher's answers; leave it out, or give --kl reverse"
        )


def distill_arguments(settings: DistillSettings, examples: Examples) -> dict[str, Any]:
    options = settings.options or {}
    fields = {
        **settled(settings),
        **watched_fields(options, math.ceil(settings.steps / _LOOKS), bool(examples.held_out)),
        "learning_rate": 1e-5 if settings.method == "full" else 2e-4,
    }
    if settings.patience > 0:
        if not examples.held_out:
            raise ConfigError("--patience: needs prompts that are held out; give --held-out")
        fields |= {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
        fields["greater_is_better"] = False
    _require_enough(fields, options, len(examples.train))
    return fields


def _require_enough(fields: dict[str, Any], options: Mapping[str, Any], rows: int) -> None:
    """Ask fewer prompts in a step where there are fewer.

    Raises:
        ConfigError: the user has set how many there are in a step.
    """
    size = {"per_device_train_batch_size", "gradient_accumulation_steps"}
    if rows < _ANSWERS and not size & options.keys():
        fields["per_device_train_batch_size"] = min(rows, _AT_ONCE)
        fields["gradient_accumulation_steps"] = 1
    every = {**fields, **options}
    asked = every["per_device_train_batch_size"] * every["gradient_accumulation_steps"]
    if asked > rows:
        raise ConfigError(
            f"{rows} prompts to train on are too few: a step asks {asked}; give more, or fewer at "
            "once (--set gradient_accumulation_steps=1)"
        )
