"""Files of JSON objects, one per line: those of a user, and our own, which only grow.

A user's file must be right in every line (`read_objects`). To a file of our own, entries are
appended whole and flushed to the disk. A crash can tear the last line. Readers report it and skip
it, and the next entry begins on a line of its own: earlier entries are never lost.

Beside a file with a sum lies another, `.NAME.sum`: how many bytes were written, and their SHA-256.
It is replaced after each append. So lost and changed lines are seen, the last one too. Lines after
the sum's are whole, and count, or the last one is torn: its process died before it could say that
the line is written. Then it is no damage: readers pass over it, and the next append removes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.common.texts import read_text, shown

log = logging.getLogger(__name__)

T = TypeVar("T")

_REPAIR = "restore it from a backup, or take it as it is with: selfinstruct audit repair RUN"


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line that cannot be read; the other lines count. Without a number: the whole file."""

    path: Path
    number: int | None
    problem: str

    def __str__(self) -> str:
        if self.number is None:
            return f"{self.path}: {self.problem}"
        return f"{self.path}:{self.number}: {self.problem}; the line is skipped"


def append_line(path: Path, entry: Mapping[str, Any], *, summed: bool = False) -> None:
    """Append one entry, like `append_lines`."""
    append_lines(path, [entry], summed=summed)


def append_lines(path: Path, entries: Iterable[Mapping[str, Any]], *, summed: bool = False) -> None:
    """Append entries; once this returns they are on disk for good.

    Several processes may append at once: each locks the file while it writes. So a run can be
    annotated while it grows.

    Args:
        path: of the file.
        entries: JSON objects.
        summed: keep a sum of the file beside it.

    Raises:
        ConfigError: a text holds half a character, which has no UTF-8.
        WriteError: the disk refuses.
    """
    lines = [json.dumps(dict(entry), ensure_ascii=False) + "\n" for entry in entries]
    try:
        text = "".join(lines).encode("utf-8")
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise ConfigError(
            f"{path}: cannot hold {half!r}, half a character (a lone surrogate); correct the text"
        ) from error
    with refusal(path):
        is_new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # The sum of a file with a damage stays, so that the damage is not forgotten.
            sums = summed and not check_sum(path)
            if sums and not sum_path(path).exists():
                write_sum(path)
            size, torn = os.fstat(handle).st_size, torn_end(path)
            if torn:
                log.warning("%s: %d bytes of an unfinished line are removed", path, torn)
                size -= torn
                os.ftruncate(handle, size)
            if size and os.pread(handle, 1, size - 1) != b"\n":
                text = b"\n" + text  # the previous line was torn
            _write(handle, text, size)
            if is_new:
                atomic.sync(path.parent)
            if sums:
                write_sum(path)
        finally:
            os.close(handle)


def _write(handle: int, text: bytes, size: int) -> None:
    """Write a file's new end to the disk; if it refuses, the file is as long as it was."""
    try:
        while text:
            text = text[os.write(handle, text) :]
        os.fsync(handle)
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, size)
        raise


def torn_end(path: Path) -> int:
    """Return how many bytes a process that died left of a line that it never said is written."""
    recorded = _recorded(path)
    return 0 if recorded is None else _torn_end(path.read_bytes(), recorded)


def _recorded(path: Path) -> int | None:
    """Return the bytes of a file's sum; None: it has none, or a damaged one."""
    try:
        recorded = json.loads(sum_path(path).read_text(encoding="utf-8"))["bytes"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return recorded if type(recorded) is int else None


def _torn_end(content: bytes, recorded: int | None) -> int:
    end = content[content.rfind(b"\n") + 1 :]
    if not end or recorded is None or len(content) - len(end) < recorded:
        return 0
    try:
        json.loads(end)
    except (ValueError, RecursionError):
        return len(end)
    return 0


def sum_path(path: Path) -> Path:
    """Return where the sum of a file lies."""
    return path.with_name(f".{path.name}.sum")


def write_sum(path: Path) -> None:
    """Write the sum of a file as it is now."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    atomic.write_json(sum_path(path), {"bytes": len(content), "sha256": digest})


def check_sum(path: Path) -> list[DamagedLine]:
    """Compare a file with its sum; a file without one is older than sums, and passes."""
    try:
        recorded = json.loads(sum_path(path).read_text(encoding="utf-8"))
        size, digest = int(recorded["bytes"]), str(recorded["sha256"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return [DamagedLine(sum_path(path), None, f"is damaged ({why(error)}); {_REPAIR}")]
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); check it") from error
    if hashlib.sha256(content[:size]).hexdigest() == digest:
        return []
    changed = f"lost {size - len(content)} bytes" if len(content) < size else "was changed"
    return [DamagedLine(path, None, f"{changed} since it was written; {_REPAIR}")]


def read_lines(
    path: Path, recorded: int | None = None
) -> tuple[list[tuple[int, dict[str, Any]]], list[DamagedLine]]:
    """Return (line number, entry) of every line that holds a JSON object, and the damaged lines.

    Args:
        path: of the file.
        recorded: bytes of its sum; a torn last line after them is passed over.

    Raises:
        StoreError: the file is there but cannot be read.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); check it") from error
    entries: list[tuple[int, dict[str, Any]]] = []
    damaged: list[DamagedLine] = []
    torn = _torn_end(content, recorded)
    if torn:
        log.warning("%s: ends with an unfinished line, which is passed over", path)
    content = content[: len(content) - torn]
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            damaged.append(DamagedLine(path, number, f"is not JSON ({why(error)})"))
            continue
        if isinstance(value, dict):
            entries.append((number, value))
        else:
            damaged.append(DamagedLine(path, number, "is not a JSON object"))
    return entries, damaged


def parse_lines(
    path: Path, parse: Callable[[dict[str, Any]], T], what: str
) -> tuple[list[T], list[DamagedLine]]:
    """Return the parsed entry of every line, and the lines that cannot be parsed.

    Args:
        path: of the file, with its sum if it has one; a missing file counts as empty.
        parse: raises KeyError, TypeError or ValueError for a line that it cannot use.
        what: the name of an entry, for the report about damaged lines.

    Raises:
        StoreError: the file is there but cannot be read.
    """
    # Before the file: a line that is appended in between is after the sum's, too.
    lines, damaged = read_lines(path, _recorded(path))
    entries = []
    for number, line in lines:
        try:
            entries.append(parse(line))
        except (KeyError, TypeError, ValueError) as error:
            problem = f"is no {what} ({why(error)})"
            damaged.append(DamagedLine(path, number, problem))
    damaged.sort(key=lambda line: line.number or 0)
    return entries, [*check_sum(path), *damaged]


def read_objects(path: Path, option: str) -> list[tuple[int, dict[str, Any]]]:
    """Return (line number, object) of every line that is not empty.

    Args:
        path: of the file, in UTF-8.
        option: the option that named it, for messages.

    Raises:
        ConfigError: a line is wrong; names file and line.
    """
    # Not splitlines(): JSON may contain U+2028 and the like, which do not end a line here.
    lines = read_text(path, option).split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"{path}:{number}: is not JSON ({why(error)}); write one object per line"
            ) from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}:{number}: is {shown(row)}, no object; write {{...}}")
        rows.append((number, row))
    return rows
