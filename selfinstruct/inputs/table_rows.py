"""Rows of tables: Parquet, Arrow, CSV and TSV; and lines of plain text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError
from selfinstruct.inputs.raw import RawRow, not_utf8

# Rows that are made Python values at once.
_BATCH = 1000
# The longest cell of a CSV file, in characters; the library's own limit is 131,072.
_LONGEST_CELL = 2**31 - 1


def parquet_rows(path: Path, option: str) -> Iterator[RawRow]:
    """Yield the rows of a Parquet file.

    Raises:
        ConfigError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from _numbered(file.iter_batches(batch_size=_BATCH), str(path))
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: cannot be read ({why(error)}); check {option}") from error


def arrow_rows(path: Path, option: str) -> Iterator[RawRow]:
    """Yield the rows of an Arrow file, or of the stream that `datasets` writes.

    Raises:
        ConfigError: it cannot be read.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            try:
                reader: Any = pa.ipc.open_stream(source)
            except pa.ArrowInvalid:
                reader = pa.ipc.open_file(source)
                batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
                yield from _numbered(batches, str(path))
            else:
                yield from _numbered(reader, str(path))
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: cannot be read ({why(error)}); check {option}") from error


def _numbered(batches: Any, path: str) -> Iterator[RawRow]:
    number = 0
    for batch in batches:
        for value in batch.to_pylist():
            number += 1
            yield RawRow(number, f"{path}: row {number}", value)


def csv_rows(handle: BinaryIO, path: str, option: str, suffix: str) -> Iterator[RawRow]:
    """Yield the rows of a CSV or TSV file with a header; an empty cell is an absent field.

    The cells of a CSV file may be separated by semicolons, as some spreadsheets write them.

    Raises:
        ConfigError: it has no header, or is not UTF-8.
    """
    text = io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")
    try:
        line = text.readline()
        delimiter = "\t" if suffix == ".tsv" else _delimiter(line)
        csv.field_size_limit(_LONGEST_CELL)
        header = next(csv.reader([line], delimiter=delimiter), [])
        if not any(header) or len(set(header)) < len(header):
            raise ConfigError(
                f"{path}:1: needs a header that names each column once; it is {shown(line.strip())}"
            )
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        for number, cells in enumerate(reader, start=1):
            if any(cells):
                where = f"{path}:{reader.line_num + 1}"
                yield RawRow(number, where, _cells(header, cells, where))
    except UnicodeDecodeError as error:
        raise not_utf8(path, error.start, option) from error
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num + 1}: is not CSV ({why(error)})") from error


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count) if any(mark in header for mark in ",;\t") else ","


def _cells(header: list[str], cells: list[str], where: str) -> dict[str, str | None] | BadRowError:
    if len(cells) > len(header):
        return BadRowError(
            where,
            f"has {len(cells)} cells under {len(header)} columns; quote cells with commas",
            "too many cells",
        )
    padded = [*cells, *[""] * (len(header) - len(cells))]
    return {name: cell or None for name, cell in zip(header, padded, strict=True)}


def text_rows(handle: BinaryIO, path: str, option: str) -> Iterator[RawRow]:
    """Yield the lines of a text that are not empty, stripped.

    Raises:
        ConfigError: it is not UTF-8.
    """
    offset = 0
    for number, line in enumerate(handle, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise not_utf8(path, offset + error.start, option) from error
        offset += len(line)
        if text:
            yield RawRow(number, f"{path}:{number}", text)
