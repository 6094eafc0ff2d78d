"""Seed tasks from rows of any format, and the canonical file in which a run keeps them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from selfinstruct.common.errors import SeedError
from selfinstruct.common.records import Instance, SeedTask
from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.formats.base import Kind
from selfinstruct.inputs.formats.tasks import RELEASE
from selfinstruct.inputs.purposes import SEEDS, kind_of
from selfinstruct.inputs.raw import suffix_of
from selfinstruct.inputs.read_data import DataFile
from selfinstruct.inputs.seeds import parse_seeds
from selfinstruct.inputs.single import check_single

# The suffix of plain instructions, one per line.
_PLAIN = ".txt"


class _Seeds:
    """Seed tasks as they are put together from rows.

    The rows of one task are its instances: those of one row of a seed file; in any other format,
    rows with the same instruction.
    """

    def __init__(self) -> None:
        self.tasks: dict[str, SeedTask] = {}
        self._lines: dict[str, int] = {}

    def add(self, row: DataRow) -> None:
        """Add a row.

        Raises:
            BadRowError: it is no task on its own, or its id is taken.
        """
        check_single(row, "a seed task")
        instruction = _filled(row.user if row.instruction is None else row.instruction, row)
        instances = _instances(row)
        is_release = row.format == RELEASE.name
        key = f"row {row.number}" if is_release else instruction
        known = self.tasks.get(key)
        if known is not None:
            more = tuple(one for one in instances if is_release or one not in known.instances)
            self.tasks[key] = replace(known, instances=(*known.instances, *more))
            return
        if row.group in self._lines:
            raise BadRowError(
                row.where,
                f'"id" {row.group!r} was used on line {self._lines[row.group]}; give each seed an '
                "id of its own",
                "id: used twice",
            )
        self._lines[row.group] = row.number
        self.tasks[key] = SeedTask(
            row.group, _name(row), instruction, instances, _is_classification(row)
        )


def seeds_of(file: DataFile) -> list[SeedTask]:
    """Return the seed tasks of rows, in their order.

    Raises:
        ConfigError: a row is no seed task. Names file, line, field and fix.
    """
    seeds = _Seeds()
    file.converted(SEEDS, seeds.add)
    return list(seeds.tasks.values())


def canonical_bytes(seeds: list[SeedTask]) -> bytes:
    """Return seed tasks as JSON lines in the form of seed files."""
    return "".join(json.dumps(_line(seed), ensure_ascii=False) + "\n" for seed in seeds).encode()


def _line(seed: SeedTask) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": seed.id,
        "name": seed.name,
        "instruction": seed.instruction,
        "is_classification": seed.is_classification,
    }
    if seed.instances:
        line["instances"] = [{"input": one.input, "output": one.output} for one in seed.instances]
    return line


def stored_seeds(file: DataFile, seeds: list[SeedTask]) -> tuple[str, bytes]:
    """Return the name and content of the file in which a run keeps its seeds.

    A user's file that says the same as it is stays as it is.
    """
    path = file.path
    if path is not None and path.is_file():
        content = path.read_bytes()
        try:
            if parse_seeds(content, path) == seeds:
                return f"seeds{_PLAIN if suffix_of(path) == _PLAIN else '.jsonl'}", content
        except SeedError:
            pass  # another format, or lines that were left out
    return "seeds.jsonl", canonical_bytes(seeds)


def _filled(text: str, row: DataRow) -> str:
    if not text.strip():
        raise BadRowError(row.where, '"instruction" is empty; give a text', "instruction: empty")
    return text.strip()


def _instances(row: DataRow) -> tuple[Instance, ...]:
    """Return a row's worked example; none for a text alone.

    Raises:
        BadRowError: a task has no output.
    """
    output = row.answer_text.strip()
    if output:
        return (Instance(row.input.strip(), output),)
    if kind_of(row) is Kind.TEXTS:
        return ()
    field = f"instances[{row.place}].output" if row.format == RELEASE.name else "output"
    raise BadRowError(row.where, f'"{field}" is empty; give a text', "output: empty")


def _name(row: DataRow) -> str:
    name = row.columns.get("name")
    if row.format == RELEASE.name and name is not None:
        if not isinstance(name, str) or not name.strip():
            state = "empty" if isinstance(name, str) else repr(name)
            raise BadRowError(row.where, f'"name" is {state}; give a text', "name: no text")
        return name.strip()
    return f"line_{row.number}" if row.where.endswith(f"{_PLAIN}:{row.number}") else row.group


def _is_classification(row: DataRow) -> bool | None:
    value = row.columns.get("is_classification")
    if value is None or isinstance(value, bool):
        return value
    if row.format != RELEASE.name and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise BadRowError(
        row.where,
        f'"is_classification" is {shown(value)}; give true, false or leave out',
        "is_classification: no truth value",
    )
