"""Run -> training files that `datasets.load_dataset` and TRL read as they are.

What a person decided about the candidates (`audit restore`, `drop`, `edit`) is applied here.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.common import atomic
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import InstanceCandidate
from selfinstruct.decisions import overrides
from selfinstruct.decisions.standing import Standing, stand
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.prompts import PromptLibrary
from selfinstruct.prompts.canonical import user_text
from selfinstruct.store import Run
from selfinstruct.store.answers import best_answers
from selfinstruct.store.layout import OWN
from selfinstruct.store.supplements import current_round, read_completed

if TYPE_CHECKING:
    from datasets import Dataset


class Format(StrEnum):
    """How a task is written down."""

    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt-completion"
    ALPACA = "alpaca"
    SHAREGPT = "sharegpt"
    PARQUET = "parquet"


class Answers(StrEnum):
    """Whose outputs: the run's own, a teacher's (`selfinstruct answer`), or the better of both.

    `prefer-teacher` takes the teacher's where it has an accepted one, else the run's own.
    """

    OWN = "own"
    TEACHER = "teacher"
    PREFER_TEACHER = "prefer-teacher"


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One accepted instance of an accepted instruction, or what a person made of it.

    override: what a person decided about instruction or instance (`restore`, `edit`), or None.
        Scores of an edited text are NaN.
    """

    id: str
    instruction_id: str
    instruction: str
    input: str
    output: str
    is_classification: bool | None
    round: int
    mean_logprob: float
    rouge_l: float
    override: str | None = None


def export_rows(run: Run, answers: Answers = Answers.OWN) -> Iterator[ExportRow]:
    """Yield the dataset of a run, in the order in which it was generated."""
    teacher = {} if answers is Answers.OWN else best_answers(run)
    completed = read_completed(run)
    decisions = overrides.read_overrides(run).current
    for number in run.rounds():
        instructions, instances = current_round(run, number, completed)
        examples: dict[str, list[InstanceCandidate]] = {}
        for instance in instances:
            examples.setdefault(instance.instruction_id, []).append(instance)
        for recorded in instructions:
            standing = stand(recorded, examples.get(recorded.id, []), decisions)
            is_class = recorded.is_classification
            if is_class is None and recorded.id in completed.instructions:
                is_class = completed.instructions[recorded.id].is_classification
            for instance in standing.instances:
                answer = None if _is_reworded(standing, instance) else teacher.get(instance.id)
                if answer is None and answers is Answers.TEACHER:
                    continue
                yield ExportRow(
                    (answer or instance).id,
                    recorded.id,
                    standing.instruction.text,
                    (answer or instance).input,
                    (answer or instance).output,
                    is_class,
                    number,
                    (answer or instance).mean_logprob,
                    standing.instruction.rouge_l,
                    _override(decisions, recorded.id, instance.id),
                )


def _is_reworded(standing: Standing, instance: InstanceCandidate) -> bool:
    """Whether a person changed the task that a teacher answered, or wrote the output."""
    return not standing.changed.isdisjoint((standing.instruction.id, instance.id))


def _override(decisions: Mapping[str, overrides.Override], *ids: str) -> str | None:
    """Return the decision about an instance or its instruction; an edit says more."""
    made = {decisions[id].action for id in ids if id in decisions}
    return str(max(made, key=lambda action: action is overrides.Action.EDIT)) if made else None


def export(run: Run, format: Format, out: Path, answers: Answers = Answers.OWN) -> int:
    """Write the dataset of a run to a file, whole or not at all; return the number of rows.

    Raises:
        ConfigError: the run holds no task yet, or the file cannot be written.
    """
    rows = _rows_to_export(run, answers)
    _refuse_own_files(run, out)
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; give the file to write, such as {out}/train.jsonl")
    content = _content(rows, format, run)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(out, content)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); check --out") from error
    return len(rows)


def to_dataset(run: Run, format: Format, answers: Answers = Answers.OWN) -> Dataset:
    """Return the rows that `export` would write, as a `datasets.Dataset`.

    Raises:
        ConfigError: the run holds no task yet, or `datasets` is not installed.
    """
    try:
        from datasets import Dataset
    except ImportError as error:
        raise ConfigError(
            "to_dataset() needs the datasets package: pip install datasets"
        ) from error
    content = _content(_rows_to_export(run, answers), format, run)
    if format is Format.PARQUET:
        return Dataset(pq.read_table(io.BytesIO(content)))
    return Dataset.from_list([json.loads(line) for line in io.BytesIO(content)])


def _rows_to_export(run: Run, answers: Answers) -> list[ExportRow]:
    """Return the dataset of a run.

    Raises:
        ConfigError: it is empty.
    """
    rows = list(export_rows(run, answers))
    if not rows and answers is Answers.TEACHER and any(True for _ in export_rows(run)):
        raise ConfigError(
            f"{run.path}: has no accepted answers of a teacher; "
            f"write some with: selfinstruct answer {run.path} --model TEACHER"
        )
    if not rows:
        raise ConfigError(f"{run.path}: holds no accepted task yet; generate some first")
    return rows


def _refuse_own_files(run: Run, out: Path) -> None:
    """An export may lie in the run's folder, beside what the run is made of."""
    folder, target = run.path.resolve(), out.resolve()
    inside = target.is_relative_to(folder) and target != folder
    if inside and target.relative_to(folder).parts[0] in OWN:
        raise ConfigError(f"{out}: is a part of the run itself; give another --out")


def _content(rows: list[ExportRow], format: Format, run: Run) -> bytes:
    """Return the content of a file of rows."""
    return _parquet(rows) if format is Format.PARQUET else _jsonl(rows, format, run)


def _jsonl(rows: list[ExportRow], format: Format, run: Run) -> bytes:
    encode = _encoder(format, stored_inputs(run).prompts)
    lines = (json.dumps(encode(row), ensure_ascii=False) + "\n" for row in rows)
    return "".join(lines).encode("utf-8")


def _encoder(format: Format, prompts: PromptLibrary) -> Callable[[ExportRow], dict[str, Any]]:
    def messages(row: ExportRow) -> dict[str, Any]:
        return {
            "messages": [
                {"role": "user", "content": user_text(row.instruction, row.input)},
                {"role": "assistant", "content": row.output},
            ]
        }

    def prompt_completion(row: ExportRow) -> dict[str, Any]:
        prompt = prompts.text("task.jinja", instruction=row.instruction, input=row.input)
        return {"prompt": prompt, "completion": row.output}

    def alpaca(row: ExportRow) -> dict[str, Any]:
        return {"instruction": row.instruction, "input": row.input, "output": row.output}

    def sharegpt(row: ExportRow) -> dict[str, Any]:
        return {
            "conversations": [
                {"from": "human", "value": user_text(row.instruction, row.input)},
                {"from": "gpt", "value": row.output},
            ]
        }

    return {
        Format.MESSAGES: messages,
        Format.PROMPT_COMPLETION: prompt_completion,
        Format.ALPACA: alpaca,
        Format.SHAREGPT: sharegpt,
    }[format]


def _parquet(rows: list[ExportRow]) -> bytes:
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("instruction_id", pa.string()),
            ("instruction", pa.string()),
            ("input", pa.string()),
            ("output", pa.string()),
            ("is_classification", pa.bool_()),
            ("round", pa.int32()),
            ("mean_logprob", pa.float64()),
            ("rouge_l", pa.float64()),
            ("override", pa.string()),
        ]
    )
    table = pa.Table.from_pylist(
        [{name: getattr(row, name) for name in schema.names} for row in rows], schema=schema
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
