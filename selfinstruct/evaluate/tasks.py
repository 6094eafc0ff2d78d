"""Tasks to evaluate on: an instruction, an input, and a reference answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.jsonlines import read_objects
from selfinstruct.common.paths import shipped_file
from selfinstruct.common.texts import shown


@dataclass(frozen=True, slots=True)
class EvalTask:
    """One instance of a task; `closed`: its reference is the only right answer."""

    id: str
    instruction: str
    input: str
    reference: str
    closed: bool
    application: str | None


def shipped_eval_tasks() -> Path:
    """Return the eval tasks that come with the project."""
    return shipped_file("eval_tasks.jsonl")


def read_eval_tasks(path: Path, option: str = "--tasks") -> list[EvalTask]:
    """Read tasks with references: JSON lines with `instruction` and `instances`.

    Each instance counts as a task. `closed` may say whether it has one right answer. Without it,
    only classification tasks are closed. Other keys are ignored, so
    that seed files and those of the paper's release can be read.

    Raises:
        ConfigError: names file, line, field and fix.
    """
    tasks: list[EvalTask] = []
    seen: dict[str, int] = {}
    for number, row in read_objects(path, option):
        where = f"{path}:{number}"
        for task in _tasks(row, where, number):
            if task.id in seen:
                raise ConfigError(
                    f"{where}: id {task.id!r} is that of line {seen[task.id]} too; rename one"
                )
            seen[task.id] = number
            tasks.append(task)
    if not tasks:
        raise ConfigError(f"{path}: holds no task; check {option}")
    return tasks


def _tasks(row: dict[str, Any], where: str, number: int) -> list[EvalTask]:
    instruction = row.get("instruction")
    if not isinstance(instruction, str) or not instruction.strip():
        raise ConfigError(f'{where}: "instruction" is {shown(instruction)}; give a text')
    instances = row.get("instances")
    if not isinstance(instances, list) or not instances:
        raise ConfigError(
            f'{where}: "instances" is {shown(instances)}; give at least one {{"input", "output"}}'
        )
    closed = row.get("closed", row.get("is_classification"))
    id = str(row.get("id", number))
    application = row.get("application", row.get("motivation_app"))
    tasks = []
    for place, instance in enumerate(instances):
        texts = instance if isinstance(instance, dict) else {}
        input, reference = texts.get("input", ""), texts.get("output")
        if not isinstance(input, str) or not isinstance(reference, str) or not reference.strip():
            raise ConfigError(
                f'{where}: instance {place + 1} is {shown(instance)}; give "input" and a reference '
                'as "output"'
            )
        tasks.append(
            EvalTask(
                id=id if len(instances) == 1 else ids.example(id, place),
                instruction=instruction.strip(),
                input=input.strip(),
                reference=reference.strip(),
                closed=bool(closed),
                application=str(application) if application else None,
            )
        )
    return tasks
