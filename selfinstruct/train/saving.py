"""A trained model is written beside its place and moved there last: it is whole, or not there."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.train.checkpoints import CHECKPOINTS, PART, REPORT, written


def plain(value: Any) -> Any:
    """Return a value with what JSON lacks, NaN and infinities, as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def save_model(
    network: Any,
    tokenizer: Any,
    out: Path,
    told: Mapping[str, Any],
    *,
    card: str | None = None,
    files: Mapping[str, str] | None = None,
) -> None:
    """Save weights, tokenizer and what came of the training, and drop the checkpoints.

    Args:
        network: in the form in which it is to be loaded again.
        tokenizer: the model's.
        out: the folder.
        told: training.json.
        card: README.md.
        files: other texts, by name.

    Raises:
        TrainError: the disk refuses; the last whole checkpoint stays.
    """
    part = out / PART
    texts = {**(files or {}), **({"README.md": card} if card is not None else {})}
    with written(out):
        if part.exists():
            shutil.rmtree(part)
        network.save_pretrained(part, safe_serialization=True)
        tokenizer.save_pretrained(part)
        for name, text in texts.items():
            (part / name).write_text(text, encoding="utf-8")
        (part / REPORT).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        made = sorted(part.iterdir(), key=lambda path: path.name == REPORT)
        for file in made:
            atomic.sync(file)
        for file in made:  # the report last: it says that the model is whole
            file.replace(out / file.name)
        atomic.sync(out)
        part.rmdir()
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
