"""Read a user's files of JSON objects, one per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError


def read_objects(path: Path, option: str) -> list[tuple[int, dict[str, Any]]]:
    """Return (line number, object) of every line that is not empty.

    Args:
        path: of the file, in UTF-8.
        option: the option that named it, for messages.

    Raises:
        ConfigError: a line is wrong; names file and line.
    """
    try:
        # Not splitlines(): JSON may contain U+2028 and the like, which do not end a line here.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); check {option}") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"{path}:{number}: is not JSON ({error}); write one object per line"
            ) from error
        if not isinstance(row, dict):
            kind = type(row).__name__
            raise ConfigError(f"{path}:{number}: is no object but {kind}; write {{...}}")
        rows.append((number, row))
    return rows
