"""Saves a trained model: beside its place first, and moved there last, so it is always whole."""

from __future__ import annotations

import json
import logging
import math
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.errors import TrainError
from selfinstruct.train.checkpoints import (
    ADAPTER,
    CHECKPOINTS,
    PART,
    REPORT,
    is_out_of_memory,
    written,
)
from selfinstruct.train.recipe import Training
from selfinstruct.train.watching import is_main_process

log = logging.getLogger(__name__)


def plain(value: Any) -> Any:
    """Return a value with null for NaN and infinities, which JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


@contextmanager
def merge_kept(training: Training[Any, Any]) -> Iterator[None]:
    """Keep the adapter on disk while it is merged; if memory is full then, say how to go on.

    Merging needs the whole model in float32, which may be more memory than the training needed.

    Raises:
        TrainError: memory is full. Names the command that merges later.
    """
    settings, model, out = training.job.settings, training.job.model, training.job.out
    merges = settings.method != "full" and settings.merge
    kept = out / CHECKPOINTS / ADAPTER
    if merges and is_main_process():
        with written(out):
            training.trainer.model.save_pretrained(kept)
            training.tokenizer.save_pretrained(kept)
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not merges or not is_out_of_memory(error):
            raise
        words = ["selfinstruct", "train", "merge", "--adapter", str(kept)]
        words += ["--model", model.name, "--out", f"{out}-merged"]
        raise TrainError(
            f"{out}: memory is full while the adapter is merged, which needs the whole model in "
            f"float32; the trained adapter is safe in {kept}: free memory, or copy it to a larger "
            f"machine, then: {shlex.join(words)}"
        ) from error


def save_model(
    network: Any,
    tokenizer: Any,
    out: Path,
    report: Mapping[str, Any],
    files: Mapping[str, str],
) -> None:
    """Save weights, tokenizer, report and further texts, and delete the checkpoints.

    Args:
        network: in the form in which it will be loaded.
        tokenizer: the model's.
        out: the folder.
        report: training.json.
        files: texts by file name, README.md among them.

    Raises:
        TrainError: the disk refuses. The last whole checkpoint stays.
    """
    part = out / PART
    with written(out):
        if part.exists():
            shutil.rmtree(part)
        network.save_pretrained(part, safe_serialization=True)
        tokenizer.save_pretrained(part)
        for name, text in files.items():
            (part / name).write_text(text, encoding="utf-8")
        (part / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        made = sorted(part.iterdir(), key=lambda path: path.name == REPORT)
        for file in made:
            atomic.sync(file)
        for file in made:  # the report last: it says that the model is whole
            file.replace(out / file.name)
        atomic.sync(out)
        part.rmdir()
    remove_checkpoints(out)


def remove_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a training that is done; what cannot be removed is said."""
    refused: list[str] = []
    shutil.rmtree(out / CHECKPOINTS, onerror=lambda _call, path, _error: refused.append(path))
    if refused and (out / CHECKPOINTS).exists():
        log.warning("%s: cannot be removed; the model is whole: remove it yourself", refused[0])
