"""Where rows come from: a file of any kind, a folder, or a data set on the hub."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import user_path
from selfinstruct.inputs import hub
from selfinstruct.inputs.json_rows import json_rows
from selfinstruct.inputs.raw import RawRow, opened, refuse_utf16, suffix_of
from selfinstruct.inputs.table_rows import arrow_rows, csv_rows, parquet_rows, text_rows

_JSON = (".jsonl", ".json", ".ndjson")
_TABLES = (".csv", ".tsv")
_COLUMNS = {".parquet": parquet_rows, ".arrow": arrow_rows}
KNOWN_SUFFIXES = (*_JSON, *_TABLES, *_COLUMNS, ".txt")


@dataclass(frozen=True)
class Source:
    """Rows that can be read.

    name: as messages and reports say it; of the hub with the commit.
    rows: reads them, once.
    path: the file or folder; None on the hub.
    """

    name: str
    rows: Callable[[], Iterator[RawRow]]
    path: Path | None


def find_source(source: str | os.PathLike[str], option: str) -> Source:
    """Return where rows are to be read from.

    Args:
        source: a file, a folder of files or of `save_to_disk` (`FOLDER#SPLIT`), or a hub name.
        option: the option that named it, for messages.

    Raises:
        ConfigError: there is no such thing, or nobody could tell what is in it.
    """
    path = user_path(source, option)
    split = None
    if not path.exists() and "#" in path.name:
        folder, _, after = str(path).rpartition("#")
        if Path(folder).is_dir():
            path, split = Path(folder), after
    if path.is_dir():
        _refuse_empty(path, option)
        return Source(str(path), lambda: hub.folder_rows(path, split, option), path)
    if path.exists():
        return Source(str(path), lambda: _file_rows(path, option), path)
    name = hub.hub_name(os.fspath(source))
    if name is None or _looks_like_a_path(path):
        raise ConfigError(f"{path}: no such file; check {option}")
    name = hub.pinned(name)
    return Source(str(name), lambda: hub.hub_rows(name, option), None)


def given_text(text: str, name: str) -> Source:
    """Return a text that somebody typed as a source: JSON of any form, or lines.

    Args:
        text: what was typed.
        name: for messages; its ending says which of the two it is.
    """
    read = text_rows if suffix_of(Path(name)) == ".txt" else json_rows
    return Source(name, lambda: read(io.BytesIO(text.encode()), name, "seeds"), None)


def _looks_like_a_path(path: Path) -> bool:
    """Whether a name that could be on the hub more likely is a mistyped path."""
    parts = path.parts
    known = suffix_of(path) in KNOWN_SUFFIXES
    return known or parts[0] in (".", "..") or Path(parts[0]).exists()


def _refuse_empty(folder: Path, option: str) -> None:
    try:
        if any(folder.iterdir()):
            return
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read ({error.strerror}); check {option}") from error
    raise ConfigError(f"{folder}: is an empty folder; check {option}")


def _file_rows(path: Path, option: str) -> Iterator[RawRow]:
    suffix = suffix_of(path)
    try:
        if suffix in _COLUMNS:
            yield from _COLUMNS[suffix](path, option)
            return
        with opened(path) as handle:
            refuse_utf16(handle, str(path))
            yield from _stream_rows(handle, path, suffix, option)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read ({reason}); check {option}") from error


def _stream_rows(handle: BinaryIO, path: Path, suffix: str, option: str) -> Iterator[RawRow]:
    if suffix in _TABLES:
        yield from csv_rows(handle, str(path), option, suffix)
    elif suffix in _JSON or (suffix != ".txt" and _begins_as_json(path)):
        yield from json_rows(handle, str(path), option)
    else:
        yield from text_rows(handle, str(path), option)


def _begins_as_json(path: Path) -> bool:
    """Whether a file with an ending of its own looks like JSON."""
    with opened(path) as handle:
        return handle.read(256).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
