"""Fields of TRL's configurations that all trainings set alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.train.checkpoints import CHECKPOINTS
from selfinstruct.train.network import bf16_pays


def trl_arguments(
    out: Path,
    seed: int,
    rows: int,
    *,
    validated: bool,
    own: Mapping[str, Any],
    given: Mapping[str, Any] | None,
    reserved: Collection[str],
) -> dict[str, Any]:
    """Return fields of SFTConfig, DPOConfig or RewardConfig.

    Args:
        out: the folder of the model.
        seed: of every draw.
        rows: how many are trained on.
        validated: whether some are held out.
        own: what this training sets beside, or otherwise.
        given: what the user gives by TRL's names; it wins.
        reserved: names that the user may not give.

    Raises:
        ConfigError: a reserved name was given.
    """
    import torch

    wrong = sorted(set(reserved) & set(given or {}))
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: set by selfinstruct itself; use its own option")
    on_gpu = torch.cuda.is_available()
    shared: dict[str, Any] = {
        "output_dir": str(out / CHECKPOINTS),
        "lr_scheduler_type": "cosine",
        "weight_decay": 0.0,
        "logging_steps": 1 if rows < 500 else 10,
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
        "seed": seed,
        "data_seed": seed,
    }
    return {**shared, **own, **(given or {})}
