"""What a model thought before its outputs: kept apart in a run, and exported where asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfinstruct.common import ids
from selfinstruct.common.chats import OPENING_TURNS
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message, Stage
from selfinstruct.dataset.formats import with_thinking
from selfinstruct.dataset.rows import ExportRow, PromptedRow
from selfinstruct.decisions.overrides import Action
from selfinstruct.store import Run
from selfinstruct.store.commits import ANSWERS, KINDS
from selfinstruct.store.layout import COMPLETIONS
from selfinstruct.store.recorded import damage


@dataclass(frozen=True, slots=True)
class ReasonedRow(PromptedRow):
    """A row with the thinking before its output; None where the model wrote none."""

    reasoning: str | None = None


def with_reasoning(run: Run, rows: Iterable[ExportRow]) -> Iterator[ReasonedRow]:
    """Yield the rows with what the model thought before it wrote their outputs.

    A person's own text has no thinking.

    Raises:
        ConfigError: no completion of the run has any; raised after the last row.
        StoreError: a file of the run is damaged.
    """
    thoughts = {id: text for path in dict.fromkeys(_files(run)) for id, text in _thoughts(path)}
    thoughts |= _by_answer(run, thoughts)
    is_reasoned = False
    for row in rows:
        reasoned = _reasoned(row, thoughts)
        is_reasoned = is_reasoned or bool(reasoned.reasoning)
        yield reasoned
    if not is_reasoned:
        raise ConfigError(
            f"{run.path}: holds no reasoning; leave out --reasoning, or generate with a reasoning "
            "model and --set model.thinking=true"
        )


def _by_answer(run: Run, thoughts: Mapping[str, str]) -> dict[str, str]:
    """Return the thinking of answers that were chosen among several completions."""
    rows = (row for number in ANSWERS.numbers(run) for row in ANSWERS.read_answers(run, number))
    return {
        ids.request(row.id, Stage.ANSWER): thoughts[row.completion_id]
        for row in rows
        if row.completion_id in thoughts
    }


def _reasoned(row: ExportRow, thoughts: dict[str, str]) -> ReasonedRow:
    turns = tuple(
        Message(role=turn["role"], content=_reply(row, number, turn["content"], thoughts))
        for number, turn in enumerate(row.turns, start=OPENING_TURNS)
    )
    return ReasonedRow(**{**asdict(row), "turns": turns}, reasoning=_of(row, thoughts))


def _reply(row: ExportRow, number: int, text: str, thoughts: dict[str, str]) -> str:
    """Return a turn of a self-chat with the thinking before it."""
    turn = ids.turn(row.conversation_id or "", number)
    thought = thoughts.get(ids.request(turn, Stage.REPLY))
    return with_thinking(thought, text) if thought else text


def _of(row: ExportRow, thoughts: dict[str, str]) -> str | None:
    if row.override == Action.EDIT:
        return None
    if ids.is_revision(row.id):
        return thoughts.get(ids.request(row.id, Stage.REVISE))
    teacher = thoughts.get(ids.request(row.id, Stage.ANSWER))
    return teacher or thoughts.get(ids.request(row.instruction_id, Stage.INSTANCES))


def _files(run: Run) -> Iterator[Path]:
    for number in run.rounds():
        if run.is_import(number):
            continue  # no model wrote it
        yield run.committed(number, COMPLETIONS)
    for kind in KINDS:
        for number in kind.numbers(run):
            yield kind.committed(run, number, COMPLETIONS)


def _thoughts(path: Path) -> list[tuple[str, str]]:
    """Return (completion, thinking) of a file, where there is any."""
    with damage(path):
        table = pq.read_table(path, columns=["id", "thinking"])
        table = table.filter(pc.is_valid(table["thinking"]))
        return [(row["id"], row["thinking"]) for row in table.to_pylist() if row["thinking"]]
