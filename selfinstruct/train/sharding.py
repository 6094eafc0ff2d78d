"""Refuses what spreads a model's weights over processes: what is saved would be a part of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, why

_STAGE = 3  # of ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054): it spreads the weights, too


def check_whole(options: Mapping[str, Any]) -> None:
    """Refuse FSDP and DeepSpeed's ZeRO stage 3, of TRL's fields or of `accelerate launch`.

    Raises:
        ConfigError: one of them is asked for. Says what to use instead.
    """
    if options.get("fsdp") or _is_on("ACCELERATE_USE_FSDP"):
        raise _refusal("FSDP")
    if _is_on("ACCELERATE_USE_DEEPSPEED"):
        file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE")
        stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
        if stage == str(_STAGE) or (file and _stage(file) == _STAGE):
            raise _refusal("DeepSpeed's ZeRO stage 3")
    deepspeed = options.get("deepspeed")
    if deepspeed and _stage(deepspeed) == _STAGE:
        raise _refusal("DeepSpeed's ZeRO stage 3")


def _refusal(what: str) -> ConfigError:
    return ConfigError(
        f"{what}: spreads the weights over processes, and the saved model would not be whole; "
        "use DeepSpeed's ZeRO stage 2, or plain `torchrun`, with adapters (--lora) if memory is "
        "short; docs/gpus.md has the commands, and TRL's own for weights that are spread"
    )


def _is_on(name: str) -> bool:
    return os.environ.get(name, "false").lower() in ("1", "true", "yes")


def _stage(config: Any) -> int:
    """Return ZeRO's stage in a configuration of DeepSpeed: a mapping, or a file with one.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not isinstance(config, Mapping):
        try:
            config = json.loads(Path(str(config)).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{config}: cannot be read as DeepSpeed's configuration ({why(error)})"
            ) from error
    zero = config.get("zero_optimization", {}) if isinstance(config, Mapping) else {}
    return int(zero.get("stage", 0)) if isinstance(zero, Mapping) else 0
