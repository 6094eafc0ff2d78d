"""Find the folder of a model, by its name, that an engine can load."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.installing import extra_line, version_of
from selfinstruct.common.paths import user_path
from selfinstruct.common.records import LocalModel
from selfinstruct.common.suggest import did_you_mean, folder_meant
from selfinstruct.models.catalogue import (
    CATALOGUE,
    CatalogueEntry,
    Progress,
    is_prepared,
    prepared_path,
)
from selfinstruct.models.endpoint import is_endpoint, resolve_endpoint
from selfinstruct.models.prepare import prepare_model

_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")


def resolve_model(name: str, progress: Progress, urls: Sequence[str] = ()) -> LocalModel:
    """Return the local folder of a model; prepare or download it if necessary.

    Args:
        name: of the catalogue, a folder, a hub name, or the address of a server.
        progress: called with each step.
        urls: of servers that serve the model by that name.

    Raises:
        ConfigError: the name is not in the catalogue, not a model folder and not on the hub; or
            the model's licence must be accepted first.
        EngineError: the hub cannot be reached.
    """
    if urls or is_endpoint(name):
        return resolve_endpoint(name, urls)
    check_model(name)
    if name in CATALOGUE:
        entry = CATALOGUE[name]
        if not is_prepared(entry):
            prepare_model(entry, progress)
        return _local_model(name, prepared_path(entry), entry)
    path = user_path(name, "--model")
    if path.exists():
        return _local_model(name, path, None)
    return _local_model(name, _download(name, progress), None)


def check_model(name: str) -> None:
    """Refuse what cannot be a model; prepare, load and download nothing.

    Raises:
        ConfigError: it is mistyped, no folder of a model, or its licence must be accepted first.
    """
    if name in CATALOGUE:
        entry = CATALOGUE[name]
        if entry.must_accept and not is_prepared(entry):
            raise ConfigError(
                f"model {name!r} comes under the {entry.license} ({entry.must_accept}); "
                f"read them, then: selfinstruct models prepare {name} --accept-license"
            )
        return
    path = user_path(name, "--model")
    if path.exists():
        _model_config(name, path)
        return
    meant = _meant(name, path)
    if meant or name.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(name):
        none = "no such folder" if "/" in name else "no such model, and no such folder"
        raise ConfigError(f"model {name!r}: {none}; {meant}check --model")


def _meant(name: str, path: Path) -> str:
    """Return what a mistyped name is taken for: a name of the catalogue, or a folder.

    The hub is not asked for such a name: hardly any of its models has a name without an owner, and
    a folder that has all but this entry is no owner.
    """
    if "/" not in name:
        return did_you_mean(name, CATALOGUE)
    return folder_meant(path, "config.json")


def hub_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of the hub's library: its own and its HTTP client's."""
    from huggingface_hub.errors import HfHubHTTPError

    kinds = [kind for kind in HfHubHTTPError.__mro__ if issubclass(kind, Exception)]
    return (OSError, ValueError, *(kind for kind in kinds if kind is not Exception))


def _download(name: str, progress: Progress) -> Path:
    if version_of("huggingface-hub") is None:
        raise ConfigError(
            f"model {name!r}: a download from the hub needs huggingface-hub; install it with: "
            + extra_line("train")
        )
    progress(f"downloading {name} from the hub", 0.0)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    patterns = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "README.md"]
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
            "and the hub cannot be reached for it; check --model, and the network"
        ) from error
    return Path(folder)


def _local_model(name: str, path: Path, entry: CatalogueEntry | None) -> LocalModel:
    config = _model_config(name, path)
    prompting = entry.prompting if entry is not None else None
    return LocalModel(name, path, digest_of(path), config, prompting)


def _model_config(name: str, path: Path) -> dict[str, Any]:
    """Return the content of a model folder's config.json.

    Raises:
        ConfigError: it is no folder of a model.
    """
    if not path.is_dir():
        raise ConfigError(f"model {name!r}: is a file; give the folder that holds config.json")
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"model {name!r}: the folder has no config.json; check --model") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"model {name!r}: config.json cannot be read: {why(error)}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"model {name!r}: config.json is not a JSON object; check --model")
    weights = sorted(p for p in path.iterdir() if p.suffix in _WEIGHTS)
    if not any(p.suffix == ".safetensors" for p in weights):
        if not weights:
            raise ConfigError(f"model {name!r}: the folder has no weights (*.safetensors)")
        raise ConfigError(
            f"model {name!r}: its weights are in {weights[0].name}; only safetensors are read, "
            "since a pickle can run code: convert it, such as with transformers' save_pretrained"
        )
    return config


def digest_of(path: Path) -> str:
    """Return a digest of a model folder: of whole small files, and of samples of the weights."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.iterdir() if p.is_file()):
        weights = file.suffix in _WEIGHTS
        if not weights and file.suffix not in (".json", ".jinja", ".model", ".txt"):
            continue
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(_sample(file) if weights else file.read_bytes())
    return digest.hexdigest()[:16]


def _sample(file: Path, blocks: int = 64, block: int = 1 << 14) -> bytes:
    """Return the start of a file (a safetensors header) and blocks spread over the rest.

    Another checkpoint of the same shape differs in nearly every block. Reading all of a large model
    would take minutes at every start.
    """
    size = file.stat().st_size
    parts = []
    with file.open("rb") as handle:
        for number in range(blocks):
            handle.seek(size * number // blocks)
            parts.append(handle.read(block))
    return b"".join(parts)
