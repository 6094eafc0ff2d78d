"""Read and validate seed tasks (the format of the paper's seed_tasks.jsonl)."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, SeedError, why
from selfinstruct.common.paths import shipped_file
from selfinstruct.common.records import Instance, SeedTask
from selfinstruct.common.texts import decode, shown

log = logging.getLogger(__name__)

_FIELDS = {"id", "name", "instruction", "instances", "is_classification"}
_INSTANCE_FIELDS = {"input", "output"}


def shipped_seeds() -> Path:
    """Return the seed tasks that come with the project."""
    return shipped_file("tasks.jsonl")


def read_seed_bytes(path: Path) -> bytes:
    """Return the content of a seed file.

    Raises:
        SeedError: missing, a folder, or unreadable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SeedError(f"{path}: no such file; check --seeds") from None
    except OSError as error:
        raise SeedError(f"{path}: cannot be read ({error.strerror}); check --seeds") from error


def parse_seeds(content: bytes, path: Path | str) -> list[SeedTask]:
    """Return the seed tasks of a file, in its order.

    A `.txt` file has one instruction per line; its id is the line number. Any other file has the
    format of the paper's release, one JSON object per line.

    Raises:
        SeedError: a line is wrong; names file, line, field and fix.
    """
    try:
        text = decode(content, path, "--seeds")
    except ConfigError as error:
        raise SeedError(str(error)) from error
    seeds: list[SeedTask] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        plain = Path(path).suffix.lower() == ".txt"
        seed = _plain(line, number) if plain else _parse_line(line, f"{path}:{number}")
        if seed.id in seen:
            raise SeedError(
                f'{path}:{number}: "id" {seed.id!r} was used on line {seen[seed.id]}; '
                "give each seed an id of its own"
            )
        seen[seed.id] = number
        seeds.append(seed)
    if not seeds:
        raise SeedError(f"{path}: holds no seed task; write one JSON object per line")
    return seeds


def _plain(line: str, number: int) -> SeedTask:
    """Return a seed with an instruction alone; few-shot prompts use other examples."""
    return SeedTask(str(number), f"line_{number}", line.strip(), (), None)


def _parse_line(line: str, where: str) -> SeedTask:
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise SeedError(
            f"{where}: is not JSON ({error.msg}, column {error.colno}); write one object per line"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SeedError(f"{where}: is too large or too deep ({why(error)}); shorten it") from error
    if not isinstance(data, dict):
        raise SeedError(f"{where}: is {shown(data)}, no object; write {{…}}")
    unknown = sorted(set(data) - _FIELDS)
    if unknown:
        log.debug("%s: ignores the fields %s", where, ", ".join(unknown))
    seed_id = data.get("id")
    if isinstance(seed_id, int) and not isinstance(seed_id, bool):
        seed_id = str(seed_id)
    is_classification = data.get("is_classification")
    if is_classification is not None and not isinstance(is_classification, bool):
        raise SeedError(
            f'{where}: "is_classification" is {shown(is_classification)}; give true, false or '
            "leave out"
        )
    seed_id = _text(seed_id, "id", where)
    name = data.get("name")
    return SeedTask(
        id=seed_id,
        name=_text(name, "name", where) if name is not None else seed_id,
        instruction=_text(data.get("instruction"), "instruction", where),
        instances=_parse_instances(data.get("instances"), where),
        is_classification=is_classification,
    )


def _parse_instances(value: Any, where: str) -> tuple[Instance, ...]:
    if value is None:  # an instruction alone; few-shot prompts use other examples
        return ()
    if not isinstance(value, list) or not value:
        state = "empty" if value == [] else "not a list"
        raise SeedError(f'{where}: "instances" is {state}; give at least one {{"input", "output"}}')
    instances = []
    for position, item in enumerate(value):
        place = f"instances[{position}]"
        if not isinstance(item, dict) or not _INSTANCE_FIELDS & set(item):
            raise SeedError(f'{where}: "{place}" must be an object {{"input", "output"}}')
        input = item.get("input", "")
        if not isinstance(input, str) or _has_surrogate(input):
            raise SeedError(f'{where}: "{place}.input" is {shown(input)}; give a text, or ""')
        output = _text(item.get("output"), f"{place}.output", where)
        instances.append(Instance(input=input.strip(), output=output))
    return tuple(instances)


def _text(value: Any, field: str, where: str) -> str:
    if value is None:
        raise SeedError(f'{where}: "{field}" is missing; give a text')
    if not isinstance(value, str):
        raise SeedError(f'{where}: "{field}" is {shown(value)}; give a text')
    if not value.strip():
        raise SeedError(f'{where}: "{field}" is empty; give a text')
    if not value.isprintable() and _has_surrogate(value):
        raise SeedError(f'{where}: "{field}" holds half a character (a lone surrogate); correct it')
    return value.strip()


def _has_surrogate(text: str) -> bool:
    """Whether a text cannot be written as UTF-8; JSON escapes can produce one."""
    return any("\ud800" <= char <= "\udfff" for char in text)
