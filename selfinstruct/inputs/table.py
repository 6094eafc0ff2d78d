"""The rows of a dataset as they are: JSON lines, a JSON array, CSV or Parquet."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row: its id (its own, or its place), where it stands, and its columns."""

    id: str
    where: str
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of a file, and the SHA-256 of its content."""

    name: str
    rows: list[TableRow]
    digest: str

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order in which they occur."""
        return list(dict.fromkeys(name for row in self.rows for name in row.columns))


def read_table(path: Path) -> Table:
    """Read a dataset; its suffix says how: `.jsonl`, `.json`, `.csv`, `.parquet`.

    Raises:
        ConfigError: it cannot be read; names file and line.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; give a .jsonl, .json, .csv or .parquet file")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; check the dataset") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check it") from error
    read = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json, ".json": _json}.get(
        path.suffix.lower()
    )
    if read is None:
        raise ConfigError(
            f"{path}: unknown kind of file {path.suffix!r}; give .jsonl, .json, .csv or .parquet"
        )
    places = list(read(path, content))
    if not places:
        raise ConfigError(f"{path}: holds no row; check the dataset")
    own = [_own_id(columns) for _, columns in places]
    are_ids = None not in own and len(set(own)) == len(own)
    rows = [
        TableRow(str(id) if are_ids else f"row-{number}", where, columns)
        for number, (id, (where, columns)) in enumerate(zip(own, places, strict=True), start=1)
    ]
    return Table(path.name, rows, hashlib.sha256(content).hexdigest())


def _own_id(columns: Mapping[str, Any]) -> str | None:
    own = columns.get("id")
    is_id = isinstance(own, str | int) and not isinstance(own, bool) and str(own).strip()
    return str(own) if is_id else None


def _csv(path: Path, content: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(_text(path, content), newline=""), strict=True)
    try:
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row:
                raise ConfigError(f"{where}: has more fields than the first line; correct it")
            yield where, {name: value or None for name, value in row.items()}
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: is not CSV ({error}); correct it") from error


def _parquet(path: Path, content: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    except pa.ArrowException as error:
        raise ConfigError(f"{path}: is not Parquet ({error}); check it") from error
    for number, row in enumerate(rows, start=1):
        yield f"{path}: row {number}", row


def _json(path: Path, content: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    text = _text(path, content)
    if text.lstrip().startswith("["):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: is not JSON ({error}); correct it") from error
        places = [(f"{path}: row {number}", value) for number, value in enumerate(values, start=1)]
    else:
        places = list(_lines(path, text))
    for where, value in places:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: is no object but {type(value).__name__}; write {{...}}")
        yield where, value


def _lines(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    # Not splitlines(): JSON may contain U+2028 and the like, which do not end a line here.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ConfigError(
                    f"{path}:{number}: is not JSON ({error}); write one object per line"
                ) from error


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not UTF-8 text (byte {error.start}); convert it to UTF-8"
        ) from error
