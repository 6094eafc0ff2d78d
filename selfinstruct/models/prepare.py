"""Prepare a model that comes in packages: once, and either whole or not at all."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import extra_line, version_of
from selfinstruct.models.catalogue import CatalogueEntry, Progress, is_prepared, prepared_path
from selfinstruct.models.fetch import gguf_of

log = logging.getLogger(__name__)

_LIBRARIES = ("torch", "transformers", "safetensors", "gguf", "accelerate")


def prepare_model(entry: CatalogueEntry, progress: Progress) -> Path:
    """Convert a packaged GGUF into a folder of safetensors; return it.

    The folder is written under another name and then renamed, so it is never half-written. A
    second process that needs it waits.

    Args:
        entry: the model.
        progress: called with each step, and the share that is done.

    Raises:
        ConfigError: the libraries that convert it are not installed.
        EngineError: its packages cannot be fetched, or are damaged.
    """
    target = prepared_path(entry)
    if not is_prepared(entry):
        _require_libraries(entry)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.parent / f".{entry.name}.lock"):
        if is_prepared(entry):
            return target
        for stale in target.parent.glob(f".{target.name}.tmp-*"):
            log.info("removing %s, left over from an interrupted preparation", stale)
            shutil.rmtree(stale, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
        try:
            progress(f"fetching {entry.title}", 0.0)
            gguf = gguf_of(entry, work)
            _convert(entry, gguf, work / "model", progress)
            _sync_folder(work / "model")
            (work / "model").rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    progress(f"{entry.title} is ready", 1.0)
    return target


def _require_libraries(entry: CatalogueEntry) -> None:
    lacking = [name for name in _LIBRARIES if version_of(name) is None]
    if lacking:
        raise ConfigError(
            f"model {entry.name!r} must be converted once, by {', '.join(_LIBRARIES)}; missing: "
            f"{', '.join(lacking)}; install them with: {extra_line('train')}"
        )


def _convert(entry: CatalogueEntry, gguf: Path, out: Path, progress: Progress) -> None:
    """Write a GGUF as bfloat16 safetensors with its tokenizer (vLLM reads no GGUF)."""
    progress("loading the conversion tools", 0.1)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with _no_tqdm():  # tqdm reads this when it is imported
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        transformers_logging.set_verbosity_error()
        progress("unpacking the weights", 0.35)
        # Without dequantize=True the weights stay packed and cannot be saved.
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            trust_remote_code=False,
        )
        progress("unpacking the tokenizer", 0.7)
        tokenizer = AutoTokenizer.from_pretrained(
            gguf.parent, gguf_file=gguf.name, trust_remote_code=False
        )
        progress("writing", 0.9)
        model.to(torch.bfloat16).save_pretrained(out)
        tokenizer.save_pretrained(out)
    _forget_environment(out / "tokenizer_config.json")
    note = {"name": entry.name, "title": entry.title, "license": entry.license}
    (out / "selfinstruct.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    for file in out.iterdir():
        file.chmod(0o644)  # safetensors makes its files private; a cache may be shared


def _forget_environment(path: Path) -> None:
    """Undo what HF_HUB_OFFLINE leaves in a tokenizer's settings.

    Otherwise the model's digest would differ between machines: shipped scores would not be found,
    and a run could not be resumed elsewhere.
    """
    text = path.read_text(encoding="utf-8")
    told = text.replace('"local_files_only": true', '"local_files_only": false')
    path.write_text(told, encoding="utf-8")


@contextmanager
def _no_tqdm() -> Iterator[None]:
    """Turn tqdm's bars off: the caller shows its own progress."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("TQDM_DISABLE", None)
        else:
            os.environ["TQDM_DISABLE"] = before


def _sync_folder(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
