"""Fields of TRL's configuration: those that all recipes share, the recipe's, and the user's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.models.safe import SAFE_WEIGHTS
from selfinstruct.train import machine
from selfinstruct.train.attention import check_attention
from selfinstruct.train.checkpoints import CHECKPOINTS, refused
from selfinstruct.train.fields import checked_fields
from selfinstruct.train.fitting import (
    LOADER,
    Fit,
    fitted,
    kept_course,
    machine_fields,
    machine_for,
)
from selfinstruct.train.libraries import quiet, require_trl
from selfinstruct.train.network import check_four_bits
from selfinstruct.train.recipe import DataT, Examples, Job, Recipe, SettingsT
from selfinstruct.train.sharding import check_whole

log = logging.getLogger(__name__)


def check_settings(recipe: Recipe[DataT, SettingsT, Any], settings: SettingsT) -> dict[str, Any]:
    """Check all that needs neither data nor a model; return the user's fields of TRL's, typed.

    Raises:
        ConfigError: a setting cannot be used on this machine.
    """
    require_trl()
    quiet()
    config_class, _ = recipe.classes()
    options = checked_fields(config_class, settings.options, recipe.reserved)
    recipe.check(settings, options)
    if settings.method == "qlora":
        check_four_bits()
    check_whole(options)
    check_attention(settings.attention)
    loader = options.get(LOADER) or {}
    check_attention(loader.get("attn_implementation"))
    _refuse_unsafe(loader)
    fields = {
        **_shared(settings.seed, options, rows=1, validated=True),
        **machine_fields(recipe, options, machine.this_machine(options)),
        **recipe.settled(settings),
        **_for_trl(options),
    }
    with refused("TRL refuses its options"):
        config_class(output_dir=CHECKPOINTS, **fields)
    return options


def _refuse_unsafe(loader: Mapping[str, Any]) -> None:
    """Refuse to run code of a model's folder, or to unpickle its weights."""
    for name, value in SAFE_WEIGHTS.items():
        if name in loader and loader[name] != value:
            raise ConfigError(
                f"--set {LOADER}: {name} is always {str(value).lower()} here, since the files of a "
                "model are read as data alone; leave it out"
            )


def trl_arguments(
    recipe: Recipe[DataT, SettingsT, Any],
    job: Job[DataT, SettingsT],
    examples: Examples,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the fields. The user's win over the recipe's, which win over the shared ones.

    Checkpointing and packs are as the memory of this machine allows (`fitting.fitted`).

    Args:
        recipe: the way to train.
        job: what to train.
        examples: its data.
        options: the user's fields, as `check_settings` returns them.
    """
    return fit_here(recipe, job, examples, options).arguments


def fit_here(
    recipe: Recipe[DataT, SettingsT, Any],
    job: Job[DataT, SettingsT],
    examples: Examples,
    options: Mapping[str, Any],
) -> Fit:
    """Return the training as it runs on this machine; for the arguments see `trl_arguments`."""
    shared = _shared(
        job.settings.seed, options, rows=len(examples.train), validated=bool(examples.held_out)
    )
    here, course = machine_for(job, options), kept_course(job)
    own = recipe.arguments(job.settings, examples)
    place = {"output_dir": str(job.out / CHECKPOINTS)}
    fields = {**shared, **machine_fields(recipe, options, here), **own, **place}
    if course is not None:
        if course.bfloat16 and not machine.this_machine(options).bfloat16:
            log.warning(
                "%s: was begun in bfloat16 and goes on in it, which is slow on this machine",
                job.out,
            )
        # As if the user had asked for them.
        options = {**options, **course.fields}
    return fitted(recipe, job, examples, {**fields, **_for_trl(options)}, options)


def _for_trl(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != LOADER}


def _shared(seed: int, options: Mapping[str, Any], *, rows: int, validated: bool) -> dict[str, Any]:
    return {
        "lr_scheduler_type": "cosine",
        "weight_decay": 0.0,
        "logging_steps": 1 if rows < 500 else 10,
        "logging_nan_inf_filter": False,
        "save_total_limit": 2,
        "restore_callback_states_from_checkpoint": True,
        **_strategies(options, validated),
        # Recomputing activations costs a third of the time: on only where memory needs it.
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed,
        "data_seed": seed,
    }


def _strategies(options: Mapping[str, Any], validated: bool) -> dict[str, Any]:
    """Return when the model is saved and validated: the best is kept where both go together.

    Where the user sets only one of the two, the other follows it.
    """
    evaluating, saving = (
        None if value is None else str(getattr(value, "value", value))
        for value in (options.get("eval_strategy"), options.get("save_strategy"))
    )
    if not validated:
        evaluating = "no"
    if evaluating is None:
        evaluating = saving if saving in ("steps", "epoch") else "epoch"
    if saving is None:
        saving = evaluating if evaluating in ("steps", "epoch") else "epoch"
    best = "no" not in (evaluating, saving)
    every = {
        other: options[name]
        for name, other in (("eval_steps", "save_steps"), ("save_steps", "eval_steps"))
        if options.get(name) is not None
    }
    return {
        "save_strategy": saving,
        "eval_strategy": evaluating,
        "load_best_model_at_end": best,
        "metric_for_best_model": "eval_loss" if best else None,
        **every,
    }
