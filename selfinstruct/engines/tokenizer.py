"""Load a model's tokenizer, and find the BOS that raw text needs."""

from __future__ import annotations

import os
from typing import Any

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import LocalModel
from selfinstruct.models.safe import SAFE


def load_tokenizer(model: LocalModel) -> Any:
    """Return the transformers tokenizer (fast ones only: spans need exact decoding).

    Raises:
        ConfigError: the folder has no tokenizer that loads.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model.path, **SAFE)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ConfigError(f"{model.path}: has no tokenizer that loads: {why(error)}") from error
    if not tokenizer.is_fast:
        raise ConfigError(f"{model.path}: has no fast tokenizer (tokenizer.json)")
    return tokenizer


def bos_text(model: LocalModel, tokenizer: Any) -> str:
    """Return the BOS that raw text needs before it, or an empty text.

    Gemma writes garbage without one, and a tokenizer converted from GGUF no longer adds it by
    itself. For other models, it is added if the tokenizer itself adds it.
    """
    bos = tokenizer.bos_token
    if not bos:
        return ""
    adds = tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]
    gemma = str(model.config.get("model_type", "")).startswith("gemma")
    return str(bos) if adds or gemma else ""
