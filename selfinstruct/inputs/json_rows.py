"""Rows of JSON: one object per line, an array of objects, or objects over several lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from selfinstruct.common.errors import ConfigError
from selfinstruct.inputs.raw import RawRow, bad_json, not_utf8

_BOM = b"\xef\xbb\xbf"
_BETWEEN = re.compile(r"[ \t\r\n]*")
# A file may be one object with the rows in one of these lists.
_WRAPPERS = ("data", "rows", "train", "examples", "items")
# An object with one of these is a row itself.
_OF_A_ROW = {"instruction", "prompt", "messages", "conversations", "question"}


def json_rows(handle: BinaryIO, path: str, option: str) -> Iterator[RawRow]:
    """Yield the rows of a JSON file, whatever its ending says.

    Args:
        handle: of the file. JSON lines are read line by line, other files at once.
        path: for messages.
        option: the option that named it, for messages.

    Raises:
        ConfigError: it is not UTF-8, or an array that breaks off.
    """
    skipped, offset = 0, 0
    first = handle.readline().removeprefix(_BOM)
    while first and not first.strip():
        skipped, offset = skipped + 1, offset + len(first)
        first = handle.readline()
    if not first:
        return
    if first.lstrip().startswith(b"[") or _begins_an_object(first):
        text = _decoded(first + handle.read(), path, offset, option)
        rows = _values(text, path, skipped)
    else:
        rows = _lines(first, handle, path, option, (skipped, offset))
    yield from _unwrapped(rows, path)


def _begins_an_object(line: bytes) -> bool:
    """Whether a line is only the beginning of an object that is written over several lines."""
    text = line.strip()
    return text.startswith(b"{") and (text == b"{" or text.endswith((b"[", b"{", b",")))


def _lines(
    line: bytes, handle: BinaryIO, path: str, option: str, before: tuple[int, int]
) -> Iterator[RawRow]:
    number, offset = before
    while line:
        number += 1
        where = f"{path}:{number}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(path, offset + error.start, option) from error
        if text.strip():
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                value = bad_json(where, error)
            yield RawRow(number, where, value)
        offset += len(line)
        line = handle.readline()


def _values(text: str, path: str, line: int) -> Iterator[RawRow]:
    """Yield the members of an array, or objects that follow each other.

    `line`: lines of the file before the text.
    """
    decode = json.JSONDecoder().raw_decode
    end = _skip(text, 0)
    is_array = text[end] == "["
    position = _skip(text, end + 1) if is_array else end
    counted, number, line = 0, 0, line + 1
    while position < len(text) and not (is_array and text[position] == "]"):
        line, counted = line + text.count("\n", counted, position), position
        where = f"{path}:{line}"
        try:
            value, position = decode(text, position)
        except (ValueError, RecursionError) as error:
            at = getattr(error, "pos", position)
            line += text.count("\n", counted, at)
            column = at - text.rfind("\n", 0, at)
            raise bad_json(f"{path}:{line}", error, column) from error
        number += 1
        yield RawRow(number, where, value)
        position = _skip(text, position)
        if is_array and position < len(text) and text[position] != "]":
            if text[position] != ",":
                line += text.count("\n", counted, position)
                raise ConfigError(f"{path}:{line}: expected a comma between two objects; add it")
            position = _skip(text, position + 1)
    if is_array:
        if position >= len(text):
            raise ConfigError(f"{path}: the array has no end (no closing bracket); is it cut off?")
        if _skip(text, position + 1) < len(text):
            raise ConfigError(f"{path}: continues after the end of its array; remove the rest")


def _unwrapped(rows: Iterator[RawRow], path: str) -> Iterator[RawRow]:
    """Yield rows; those of a list if the file is one object with the rows in it."""
    first = list(islice(rows, 2))
    if len(first) == 1 and isinstance(first[0].value, dict):
        name, inner = _wrapped(first[0].value)
        if inner is not None:
            for number, value in enumerate(inner, start=1):
                yield RawRow(number, f"{path}: {name}[{number - 1}]", value)
            return
    yield from first
    yield from rows


def _wrapped(value: dict[str, Any]) -> tuple[str, list[Any] | None]:
    for name in () if _OF_A_ROW & value.keys() else _WRAPPERS:
        inner = value.get(name)
        if isinstance(inner, list) and inner and all(isinstance(row, dict) for row in inner):
            return name, inner
    return "", None


def _skip(text: str, position: int) -> int:
    match = _BETWEEN.match(text, position)
    return match.end() if match else position


def _decoded(content: bytes, path: str, offset: int, option: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(path, offset + error.start, option) from error
