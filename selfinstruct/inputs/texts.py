"""Read files of texts: one per line, or JSON lines with an `instruction`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.texts import decode

JSON_SUFFIXES = (".jsonl", ".json")
# Fields of published datasets that hold the user's text.
_FIELDS = ("instruction", "prompt", "question", "text")


def parse_texts(content: bytes, path: Path | str, option: str) -> list[str]:
    """Return the texts of a file, without empty lines.

    Args:
        content: of the file. A `.jsonl` or `.json` path means one JSON object or string per line.
        path: for messages, and for its suffix.
        option: the option that named it, for messages.

    Raises:
        ConfigError: a line is wrong; names file and line.
    """
    lines = decode(content, path, option).split("\n")
    as_json = Path(path).suffix.lower() in JSON_SUFFIXES
    texts = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            texts.append(_of_json(line, f"{path}:{number}") if as_json else line.strip())
    if not texts:
        raise ConfigError(f"{path}: holds no text; write one per line, or leave out {option}")
    return texts


def _of_json(line: str, where: str) -> str:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{where}: is not JSON ({why(error)}); write one object per line"
        ) from error
    if isinstance(value, dict):
        value = next((value[name] for name in _FIELDS if name in value), None)
    if not isinstance(value, str) or not value.strip():
        fields = ", ".join(f'"{name}"' for name in _FIELDS)
        raise ConfigError(f"{where}: holds no text; give one of {fields}, or a JSON string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{where}: holds half a character (a lone surrogate); correct it"
        ) from error
    return value.strip()
