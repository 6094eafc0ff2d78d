"""Text files that people give: read as UTF-8, or refused with what to do about it."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, why

_LONGEST = 80  # characters of a value in a message
_SURROGATE = re.compile("[\ud800-\udfff]")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, option: str, encoding: str = "utf-8-sig") -> str:
    """Return the text of a file.

    Args:
        path: of the file.
        option: the option that named it, for messages.
        encoding: `utf-8-sig` drops a byte order mark, `utf-8` keeps it.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; check {option}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({why(error)}); check {option}") from error
    return decode(content, path, option, encoding)


def decode(content: bytes, path: Path | str, option: str, encoding: str = "utf-8-sig") -> str:
    """Return the text of a file's content, as `read_text` does.

    Raises:
        ConfigError: it is not UTF-8.
    """
    if is_utf16(content):
        raise ConfigError(f"{path}: is UTF-16 text; save it as UTF-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8, or check {option}"
        ) from error


def is_utf16(content: bytes) -> bool:
    """Whether a file's content begins as UTF-16 text."""
    return content.startswith(_UTF_16) or _alternates(content[:200])


def has_surrogate(text: str) -> bool:
    """Whether a text holds half a character (a lone surrogate), which has no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def without_surrogates(text: str) -> str:
    """Return a text of the same length with U+FFFD in place of each half of a character."""
    return _SURROGATE.sub("\ufffd", text)


def shown(value: Any) -> str:
    """Return a value as JSON writes it, cut if it is long, for messages about a file."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _alternates(content: bytes) -> bool:
    """Whether every other byte is zero: UTF-16 of European text without a byte order mark."""
    halves = content[0::2], content[1::2]
    return len(content) > 3 and any(
        not any(half) and all(other) for half, other in (halves, halves[::-1])
    )
