"""Fields of TRL's configuration: those that all recipes share, the recipe's, and the user's."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.train.checkpoints import CHECKPOINTS
from selfinstruct.train.network import bf16_pays
from selfinstruct.train.recipe import DataT, Examples, Job, Recipe, SettingsT


def trl_arguments(
    recipe: Recipe[DataT, SettingsT, Any], job: Job[DataT, SettingsT], examples: Examples
) -> dict[str, Any]:
    """Return the fields. The user's win over the recipe's, which win over the shared ones.

    Raises:
        ConfigError: the user sets a field that TRL lacks, or that only the recipe may set.
    """
    import torch

    own = recipe.arguments(job.settings, examples)
    options = job.settings.options or {}
    known = {field.name for field in fields(recipe.classes()[0])}
    for name in options.keys() - known:
        raise ConfigError(
            f"--set {name}: TRL's {recipe.classes()[0].__name__} has no such field; "
            f"{did_you_mean(name, known)}see its documentation for all of them"
        )
    wrong = sorted(recipe.reserved & options.keys())
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: set by selfinstruct itself; use its own option")
    on_gpu = torch.cuda.is_available()
    validated = bool(examples.held_out)
    shared: dict[str, Any] = {
        "output_dir": str(job.out / CHECKPOINTS),
        "lr_scheduler_type": "cosine",
        "weight_decay": 0.0,
        "logging_steps": 1 if len(examples.train) < 500 else 10,
        "logging_nan_inf_filter": False,
        "save_strategy": "epoch",
        "save_total_limit": 2,
        "restore_callback_states_from_checkpoint": True,
        "eval_strategy": "epoch" if validated else "no",
        "load_best_model_at_end": validated,
        "metric_for_best_model": "eval_loss" if validated else None,
        # On a CPU memory is plenty, and recomputing activations costs a third of the time.
        "gradient_checkpointing": on_gpu,
        "bf16": bf16_pays(),
        "use_cpu": not on_gpu,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": job.settings.seed,
        "data_seed": job.settings.seed,
    }
    return {**shared, **own, **options}
