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
from selfinstruct.labellers.expected import expected_of


@dataclass(frozen=True, slots=True)
class EvalTask:
    """One instance of a task; `closed`: its reference is the only right answer.

    `check` is the name of a check and its values (`checks.check_of`). `expect` is what a good
    answer does (`labellers.expected.Expected`), and `rubric` says it in a sentence; a task with
    `expect` may lack a reference. `wrong` are typical false answers. All of these are empty where
    the row does not say.
    """

    id: str
    instruction: str
    input: str
    reference: str
    closed: bool
    application: str | None
    check: tuple[str, tuple[str, ...]] | None = None
    expect: str = ""
    rubric: str = ""
    wrong: tuple[str, ...] = ()


def shipped_eval_tasks() -> Path:
    """Return the eval tasks that come with the project."""
    return shipped_file("eval_tasks.jsonl")


def read_eval_tasks(
    path: str | Path, option: str = "--tasks", reading: ReadAs = AS_IT_IS
) -> list[EvalTask]:
    """Read tasks with references, from data in any format with answers.

    Each instance counts as a task. A column `closed` may say whether it has one right answer.
    Without it, only classification tasks are closed. A column `check` says how answers are checked,
    `expect` what a good answer does. A question with choices that has a `reference` is an open one.

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
        expect, reference = expected_of(row), _reference(row)
        if not reference and not expect:
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
            reference=reference,
            closed=_is_true(row.columns.get("closed", row.columns.get("is_classification"))),
            application=str(application) if application else None,
            check=None if check is None else check_of(check, row.where, reference),
            expect=expect,
            rubric=str(row.columns.get("rubric") or "").strip(),
            wrong=_wrong(row),
        )


def _reference(row: DataRow) -> str:
    """Return the answer to compare with; of a question with choices its column `reference`."""
    return str(row.columns.get("reference", "") if row.choices else row.answer_text).strip()


def _wrong(row: DataRow) -> tuple[str, ...]:
    return tuple(choice for place, choice in enumerate(row.choices or ()) if place != row.right)


def _is_true(value: Any) -> bool:
    """Return a truth value; a cell of a CSV file has it as a text."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1", "yes")
    return bool(value)
