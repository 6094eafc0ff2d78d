"""Write, fsync, rename, fsync the folder: a file that exists is whole, even after a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import WriteError


def sync(path: Path) -> None:
    """Flush a file or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file by its new content, or leave it as it was."""
    part = path.with_name(f".{path.name}.tmp")
    with part.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(part, path)
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
