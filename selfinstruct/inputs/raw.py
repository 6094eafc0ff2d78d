"""Rows as a file holds them, before anything says what they mean."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.texts import is_utf16
from selfinstruct.inputs.data_row import BadRowError

# Bytes of a file that tell its encoding.
_PEEKED = 200
# Endings of compressed files, which come after the ending that says what is in them.
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row, its number (from 1) and its place for messages; `value` is what JSON can hold.

    A row that cannot be parsed is a `BadRowError` instead of a value.
    """

    number: int
    where: str
    value: Any


def opened(path: Path) -> BinaryIO:
    """Open a file that may be compressed, for reading.

    Raises:
        OSError: it cannot be read.
    """
    match path.suffix:
        case ".gz":
            return cast("BinaryIO", gzip.open(path, "rb"))
        case ".bz2":
            return cast("BinaryIO", bz2.open(path, "rb"))
        case ".xz":
            return cast("BinaryIO", lzma.open(path, "rb"))
        case ".zst":
            import pyarrow as pa

            stream: Any = pa.input_stream(str(path), compression="zstd")
            return io.BufferedReader(stream)
        case _:
            return path.open("rb")


def suffix_of(path: Path) -> str:
    """Return the ending that says what is in a file, in lower case: `.jsonl` of `a.jsonl.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def not_utf8(where: str, offset: int, option: str) -> ConfigError:
    return ConfigError(
        f"{where}: is not UTF-8 text (byte {offset}); save it as UTF-8, or check {option}"
    )


def refuse_utf16(handle: Any, where: str) -> None:
    """Refuse a text file that is UTF-16; nothing is read from it.

    Raises:
        ConfigError: it is.
    """
    if is_utf16(handle.peek(_PEEKED)[:_PEEKED]):
        raise ConfigError(f"{where}: is UTF-16 text; save it as UTF-8")


def bad_json(where: str, error: Exception, column: int | None = None) -> BadRowError:
    """Return the error for a row that is not JSON."""
    text = getattr(error, "msg", None) or str(error)
    place = getattr(error, "colno", None) if column is None else column
    at = f", column {place}" if place is not None else ""
    return BadRowError(where, f"is not JSON ({text}{at}); write one object per line", "not JSON")
