"""Write, fsync, rename, fsync the folder: a file that exists is whole, even after a crash."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, WriteError, why

# What a disk says that is full or broken; all else is about the path.
DISK_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


def sync(path: Path) -> None:
    """Flush a file or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file by its new content, or leave it as it was."""
    with replacing(path, content):
        pass


@contextmanager
def replacing(path: Path, content: bytes | Iterable[bytes]) -> Iterator[None]:
    """Write the new content of a file beside it, do what follows, and then replace the file.

    If any of it fails, the file is as it was. The content may come in parts.
    """
    part = path.with_name(f".{path.name}.tmp")
    try:
        with part.open("wb") as handle:
            for part_of_it in [content] if isinstance(content, bytes) else content:
                handle.write(part_of_it)
            handle.flush()
            os.fsync(handle.fileno())
        yield
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def commit_folder(work: Path, target: Path) -> None:
    """Rename a finished folder into its place; the rename is the commit."""
    for path in work.iterdir():
        sync(path)
    sync(work)
    work.rename(target)
    sync(target.parent)


@contextmanager
def refusal(path: Path) -> Iterator[None]:
    """Turn an OSError of the disk into WriteError."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written ({error.strerror or error}); committed work is safe: free "
            "space or repair the disk, then run the same command again, with --resume if it has "
            "that option"
        ) from error


@contextmanager
def refusal_of(path: Path, what: str = "written") -> Iterator[None]:
    """Turn an OSError about a path that the user gave with --out into an error of ours.

    Args:
        path: of the file or folder.
        what: cannot be done to it: `written` or `made`.

    Raises:
        WriteError: the disk is full or broken.
        ConfigError: the path cannot be used.
    """
    try:
        yield
    except OSError as error:
        told = f"{path}: cannot be {what} ({why(error)})"
        if error.errno in DISK_FAULTS:
            raise WriteError(
                f"{told}; free space or repair the disk, then run the same command again"
            ) from error
        raise ConfigError(f"{told}; check --out") from error
