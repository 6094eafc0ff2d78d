"""Tasks to evaluate on: an instruction, an input, and a reference answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.paths import shipped_file
from selfinstruct.dataset.read import read_any
from selfinstruct.evaluate.checks import check_of
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.purposes import EVALUATE
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs
from selfinstruct.inputs.single import check_single


@dataclass(frozen=True, slots=True)
class EvalTask:
    """One instance of a task; `closed`: its reference is the only right answer.

    `check` is the name of a check and its values (`checks.check_of`).
    """

    id: str
    instruction: str
    input: str
    reference: str
    closed: bool
    application: str | None
    check: tuple[str, tuple[str, ...]] | None = None


def shipped_eval_tasks() -> Path:
    """Return the eval tasks that come with the project."""
    return shipped_file("eval_tasks.jsonl")


def read_eval_tasks(
    path: str | Path, option: str = "--tasks", reading: ReadAs = AS_IT_IS
) -> list[EvalTask]:
    """Read tasks with references, from data in any format with answers.

    Each instance counts as a task. A column `closed` may say whether it has one right answer.
    Without it, only classification tasks are closed. A column `check` says how answers are checked.

    Raises:
        ConfigError: names file, line, field and fix.
    """
    tasks = _Tasks()
    read_any(path, option, reading).converted(EVALUATE, tasks.add)
    return list(tasks.known.values())


class _Tasks:
    """Tasks by their ids."""

    def __init__(self) -> None:
        self.known: dict[str, EvalTask] = {}
        self._lines: dict[str, int] = {}

    def add(self, row: DataRow) -> None:
        """Add a row.

        Raises:
            BadRowError: it has no instruction, no reference, or an id that is taken.
        """
        check_single(row, "a task to evaluate on")
        instruction = row.user if row.instruction is None else row.instruction
        if not instruction.strip():
            raise BadRowError(
                row.where, '"instruction" is empty; give a text', "instruction: empty"
            )
        if not row.answer_text.strip():
            raise BadRowError(
                row.where,
                f"has no reference (read as {row.format}, instance {row.place + 1}); give the "
                "answer to compare with",
                "no reference",
            )
        if row.id in self.known:
            raise BadRowError(
                row.where,
                f"id {row.id!r} is that of line {self._lines[row.id]} too; rename one",
                "id: used twice",
            )
        self._lines[row.id] = row.number
        check = row.columns.get("check")
        application = row.columns.get("application", row.columns.get("motivation_app"))
        self.known[row.id] = EvalTask(
            id=row.id,
            instruction=instruction.strip(),
            input=row.input.strip(),
            reference=row.answer_text.strip(),
            closed=_is_true(row.columns.get("closed", row.columns.get("is_classification"))),
            application=str(application) if application else None,
            check=None if check is None else check_of(check, row.where, row.answer_text.strip()),
        )


def _is_true(value: Any) -> bool:
    """Return a truth value; a cell of a CSV file has it as a text."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1", "yes")
    return bool(value)
