"""How a policy is trained on rewards: our settings, and what follows from them for TRL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.train.adapter import Adapter
from selfinstruct.train.recipe import Examples

# Prompts of a step, and answers that go through the network at once.
_PROMPTS, _AT_ONCE = 8, 8
# How often a training is watched.
_LOOKS = 8


@dataclass(frozen=True)
class RlSettings:
    """How to train. `options` are fields of TRL's configuration, by their own names.

    Attributes:
        algo: `rloo` or `grpo`.
        beta: weight of the KL penalty.
        k: answers to each prompt of a step.
        answer_tokens: the most tokens of an answer.
        steps: of the whole training.
        fresh: held-out prompts that each look answers anew.
        stop_on_hacking: end the training once the reward is hacked, and save the policy whose gold
            score was highest.
    """

    algo: str = "rloo"
    method: str = "lora"  # lora, qlora, or full
    lora_r: int = 16
    merge: bool = True
    beta: float = 0.05
    k: int = 8
    answer_tokens: int = 128
    steps: int = 100
    max_length: int = 1024
    patience: int = 0
    fresh: int = 64
    stop_on_hacking: bool = False
    seed: int = 0
    options: Mapping[str, Any] | None = None
    eos_token: str | None = None
    adapter: Adapter | None = None
    attention: str | None = None


def settled(settings: RlSettings) -> dict[str, Any]:
    """Return the fields that need no data, so that TRL can check them together."""
    chosen = settings.options or {}
    at_once = int(chosen.get("per_device_train_batch_size") or _AT_ONCE)
    return {
        "beta": settings.beta,
        "num_generations": settings.k,
        "num_generations_eval": settings.k,
        "max_completion_length": settings.answer_tokens,
        "max_steps": settings.steps,
        "per_device_train_batch_size": at_once,
        "per_device_eval_batch_size": settings.k,
        # As many answers at once as make whole groups.
        "gradient_accumulation_steps": max(1, _PROMPTS * settings.k // at_once),
    }


def check_batch(settings: RlSettings, options: Mapping[str, Any]) -> None:
    fields = {**settled(settings), **options}
    if options.get("steps_per_generation") or options.get("generation_batch_size"):
        return  # TRL checks these
    answers = fields["per_device_train_batch_size"] * fields["gradient_accumulation_steps"]
    if answers % settings.k:
        raise ConfigError(
            f"--k {settings.k}: a step has {fields['per_device_train_batch_size']} times "
            f"{fields['gradient_accumulation_steps']} answers, which is not a multiple of it; set "
            "per_device_train_batch_size and gradient_accumulation_steps so that it is"
        )


def rl_arguments(settings: RlSettings, examples: Examples) -> dict[str, Any]:
    options = settings.options or {}
    fields = {
        **settled(settings),
        **watched_fields(options, math.ceil(settings.steps / _LOOKS), bool(examples.held_out)),
        "learning_rate": 1e-6 if settings.method == "full" else 3e-4,
    }
    if settings.stop_on_hacking or settings.patience > 0:
        if not examples.held_out:
            option = "--stop-on-hacking" if settings.stop_on_hacking else "--patience"
            raise ConfigError(f"{option}: needs prompts that are held out; give --held-out")
        metric, greater = ("eval_gold", True) if settings.stop_on_hacking else ("eval_loss", False)
        best = {"metric_for_best_model": metric, "greater_is_better": greater}
        fields |= {"load_best_model_at_end": True, **best}
    _require_enough(fields, options, len(examples.train))
    return fields


def watched_fields(options: Mapping[str, Any], every: int, held_out: bool) -> dict[str, Any]:
    """Return the fields of a training that is a number of steps, and is watched as it goes.

    Args:
        options: the user's fields.
        every: how many steps lie between two looks, unless the user says so.
        held_out: whether there are prompts to look at.
    """
    every = options.get("eval_steps") or options.get("save_steps") or every
    fields = {
        "warmup_steps": 0.1,
        "logging_steps": 1,
        "eval_steps": every,
        "save_steps": every,
        # The last model is saved, unless something else was asked for.
        "load_best_model_at_end": False,
        "metric_for_best_model": None,
    }
    if not {"eval_strategy", "save_strategy"} & options.keys():
        fields["save_strategy"] = "steps"
        fields["eval_strategy"] = "steps" if held_out else "no"
    return fields


def _require_enough(fields: dict[str, Any], options: Mapping[str, Any], rows: int) -> None:
    """Ask fewer prompts in a step where there are fewer.

    Raises:
        ConfigError: the user has set how many there are in a step.
    """
    size = {"per_device_train_batch_size", "gradient_accumulation_steps"}
    size |= {"steps_per_generation", "generation_batch_size"}
    if rows < _PROMPTS and not size & options.keys():
        fields["per_device_train_batch_size"] = fields["num_generations"]
        fields["gradient_accumulation_steps"] = rows
    every = {**fields, **options}
    batches = every.get("steps_per_generation") or every["gradient_accumulation_steps"]
    answers = every.get("generation_batch_size")
    answers = answers or every["per_device_train_batch_size"] * batches
    asked = answers // every["num_generations"]
    if asked > rows:
        raise ConfigError(
            f"{rows} prompts to train on are too few: a step asks {asked}; give more, or fewer at "
            "once (--set gradient_accumulation_steps=1)"
        )
