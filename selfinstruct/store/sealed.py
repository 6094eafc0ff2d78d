"""What was committed is what is read: checksums of files, seals of their JSON, chains of commits.

A commit's JSON has the checksums of its other files. It also has `previous_sha256`, the SHA-256 of
the JSON of the commit before it (of the first: the fingerprint of its run), and `sha256`, the seal:
the SHA-256 of all its other values. So a file that was damaged, edited, swapped, lost or taken from
another run is seen by whoever reads it. run.yaml has a seal too. Commits and runs that are older
than seals have none of these keys; their files are compared with the checksums alone.

A file is hashed once for each process, and again when its size or time of change is another.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import StoreError, why

SEAL = "sha256"
PREVIOUS = "previous_sha256"


class ChainError(StoreError):
    """A commit follows another than the one before it."""


# Inode, size and time of change (ns) of files that were hashed, with their SHA-256.
_known: dict[str, tuple[int, int, int, str]] = {}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex: the checksum of all committed files."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read once for each process while the file stays the same."""
    stat = path.stat()
    mark = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    name = str(path.absolute())
    known = _known.get(name)
    if known is not None and known[:3] == mark:
        return known[3]
    digest = sha256(path)
    _known[name] = (*mark, digest)
    return digest


def forget_known() -> None:
    """Hash all files anew when they are read next."""
    _known.clear()


def checked(path: Path, checksums: Mapping[str, Any]) -> Path:
    """Return the path of a committed file, whose content is what was committed.

    Args:
        path: of the file.
        checksums: of the files of its commit, by name.

    Raises:
        StoreError: it is missing, or was changed.
    """
    try:
        digest = known_sha256(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({why(error)}); restore it from a backup"
        ) from error
    if digest != checksums.get(path.name):
        raise StoreError(f"{path}: is not what was committed (checksum); restore it from a backup")
    return path


def seal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with their seal, which comes first: a file that is cut off still has it."""
    return {SEAL: _digest(values), **{key: values[key] for key in values if key != SEAL}}


def check_seal(
    values: Mapping[str, Any], path: Path, advice: str = "restore it from a backup"
) -> None:
    """Compare values with their seal, if they have one.

    Args:
        values: content of a file.
        path: of the file.
        advice: what to do if it was changed.

    Raises:
        StoreError: a value was changed since they were written.
    """
    if SEAL in values and values[SEAL] != _digest(values):
        raise StoreError(f"{path}: was changed since it was written; {advice}")


def check_chain(
    info: Mapping[str, Any], path: Path, before: Path | None, root: Any, packed: str | None = None
) -> None:
    """Compare a commit's JSON with the one before it, if it is chained.

    Args:
        info: content of the JSON.
        path: of the JSON.
        before: JSON of the commit before it; None for the first.
        root: fingerprint of the run, for the first.
        packed: SHA-256 of the JSON before it, if that lies in a pack.

    Raises:
        ChainError: it follows another commit.
        StoreError: only one of seal and chain is there.
    """
    if (SEAL in info) != (PREVIOUS in info):
        lost = PREVIOUS if SEAL in info else SEAL
        raise StoreError(f"{path}: is damaged (lacks {lost}); restore it from a backup")
    if PREVIOUS in info and info[PREVIOUS] != (packed or link(before, root)):
        raise ChainError(
            f"{path}: follows another commit than {before or 'the start of this run'}; one of them "
            "was changed, or comes from another run: restore both from a backup"
        )


def link(before: Path | None, root: Any) -> str:
    """Return what the JSON of a commit says of the one before it."""
    try:
        return str(root) if before is None else known_sha256(before)
    except OSError as error:
        raise ChainError(
            f"{before}: cannot be read ({why(error)}); restore it from a backup"
        ) from error


def read_json(path: Path) -> Any:
    """Return the content of a JSON file of a run.

    Raises:
        StoreError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: is damaged ({why(error)}); restore it from a backup") from error


def check_names(info: Mapping[str, Any], path: Path, files: Collection[str]) -> None:
    """Check that a commit's JSON has the checksums of all its files.

    Raises:
        StoreError: one is missing.
    """
    lacking = sorted(set(files) - info["checksums"].keys())
    if lacking:
        raise StoreError(
            f"{path}: is damaged (no checksum of {', '.join(lacking)}); restore it from a backup"
        )


def numbered(folder: Path) -> list[int]:
    """Return the numbers of the commits in a folder, in order; none if it is missing.

    Only a name as a commit writes it counts: `00003`, not `3` or `²`.
    """
    if not folder.is_dir():
        return []
    names = (path.name for path in folder.iterdir())
    numbers = (name for name in names if re.fullmatch(r"[0-9]{5,}", name))
    return sorted(int(name) for name in numbers if name == commit_name(int(name)))


def commit_name(number: int) -> str:
    """Return the name of a commit's folder."""
    return f"{number:05d}"


def _digest(values: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in values.items() if key != SEAL}
    text = json.dumps(rest, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
