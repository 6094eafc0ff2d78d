"""The candidates of a run by columns: what is needed to judge them again by other thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selfinstruct.common.errors import StoreError
from selfinstruct.common.records import ACCEPTED, Kind
from selfinstruct.filters.rules import passed_text_rules, reasons
from selfinstruct.store import Run
from selfinstruct.store.layout import INSTANCES, INSTRUCTIONS

# Outcomes of candidates, as numbers: places in this list.
OUTCOMES: list[str] = [ACCEPTED, *map(str, reasons())]
CODES = {name: code for code, name in enumerate(OUTCOMES)}
# By code: whether the candidate had passed the rules on its text.
PASSED_TEXT = np.array([passed_text_rules(None if n == ACCEPTED else n) for n in OUTCOMES])

_OF_INSTRUCTIONS = (
    *("id", "text", "is_classification", "mean_logprob", "rouge_l", "neighbour_id"),
    *("verdict", "reason"),
)
_OF_INSTANCES = ("id", "instruction_id", "kind", "mean_logprob", "verdict", "reason")

Codes = NDArray[np.int16]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Instructions:
    """All instructions, in order.

    starts: where each round begins; one more entry for the end.
    outcome: as recorded, a code.
    logprob, rouge_l: NaN where there is none.
    is_classification: of the task; false where nobody was asked.
    neighbour: number of the nearest among all texts (`Columns.pool` first), -1: none, -2: unknown.
    """

    starts: NDArray[np.int64]
    ids: pa.ChunkedArray
    texts: pa.ChunkedArray
    outcome: Codes
    is_classification: NDArray[np.bool_]
    logprob: Scores
    rouge_l: Scores
    neighbour: NDArray[np.int64]


@dataclass(frozen=True)
class Instances:
    """All instances, in order.

    instruction: place of the instruction of each among all.
    is_label: whether its score is of a label.
    """

    starts: NDArray[np.int64]
    ids: pa.ChunkedArray
    instruction: NDArray[np.int64]
    outcome: Codes
    logprob: Scores
    is_label: NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """The candidates of a run; `pool` has (id, text) of the texts that it started from."""

    run: Run
    rounds: Sequence[int]
    targets: Sequence[int]
    pool: Sequence[tuple[str, str]]
    instructions: Instructions
    instances: Instances

    @cached_property
    def texts(self) -> list[pa.Array]:
        """The texts of pool and instructions; of those that failed by their text, none."""
        seeds = pa.array([text for _, text in self.pool], pa.string())
        failed = pa.array(~PASSED_TEXT[self.instructions.outcome])
        empty = pa.scalar(None, pa.string())
        chunks, at = [seeds], 0
        for chunk in self.instructions.texts.chunks:
            chunks.append(pc.if_else(failed.slice(at, len(chunk)), empty, chunk))
            at += len(chunk)
        return chunks

    def text(self, number: int) -> str:
        """Return the text of a number of `texts`."""
        if number < len(self.pool):
            return self.pool[number][1]
        return str(self.instructions.texts[number - len(self.pool)].as_py() or "")

    def id(self, number: int) -> str:
        """Return the id of a number of `texts`."""
        if number < len(self.pool):
            return self.pool[number][0]
        return str(self.instructions.ids[number - len(self.pool)].as_py())


def read_candidates(run: Run, pool: Sequence[tuple[str, str]]) -> Columns:
    """Read the candidates of a run.

    Raises:
        StoreError: a file of the run is damaged.
    """
    rounds = run.rounds()
    targets = [run.info(number)["target"] for number in rounds]
    tables = [run.columns(number, INSTRUCTIONS, _OF_INSTRUCTIONS) for number in rounds]
    instructions = _instructions(run, tables, pool)
    tables = [run.columns(number, INSTANCES, _OF_INSTANCES) for number in rounds]
    return Columns(run, rounds, targets, pool, instructions, _instances(run, tables, instructions))


def _instructions(
    run: Run, tables: Sequence[pa.Table], pool: Sequence[tuple[str, str]]
) -> Instructions:
    table = _joined(tables, _OF_INSTRUCTIONS)
    known = pa.chunked_array([pa.array([id for id, _ in pool], pa.string()), *table["id"].chunks])
    near = pc.index_in(table["neighbour_id"], value_set=known)
    unknown = pc.and_(pc.is_null(near), pc.is_valid(table["neighbour_id"]))
    neighbour = np.where(_numpy(unknown), -2, _numpy(pc.fill_null(near, -1)))
    return Instructions(
        _starts(tables),
        table["id"],
        table["text"],
        _codes(run, table),
        _flags(table["is_classification"]),
        _scores(table["mean_logprob"]),
        _scores(table["rouge_l"]),
        neighbour.astype(np.int64),
    )


def _instances(run: Run, tables: Sequence[pa.Table], instructions: Instructions) -> Instances:
    table = _joined(tables, _OF_INSTANCES)
    place = pc.index_in(table["instruction_id"], value_set=instructions.ids)
    if place.null_count:
        raise StoreError(
            f"{run.path}: has instances of an instruction that it lacks; restore it from a backup"
        )
    instruction = _numpy(place).astype(np.int64)
    # Runs that are older than kinds: labels are the outputs of classification.
    is_label = np.where(
        _numpy(pc.is_null(table["kind"])),
        instructions.is_classification[instruction],
        _flags(pc.equal(table["kind"], str(Kind.LABEL))),
    )
    return Instances(
        _starts(tables),
        table["id"],
        instruction,
        _codes(run, table),
        _scores(table["mean_logprob"]),
        is_label,
    )


def _joined(tables: Sequence[pa.Table], names: Iterable[str]) -> pa.Table:
    if tables:
        return pa.concat_tables(tables)
    types = {"is_classification": pa.bool_()}
    types |= {"mean_logprob": pa.float64(), "rouge_l": pa.float64()}
    return pa.table({name: pa.array([], types.get(name, pa.string())) for name in names})


def _starts(tables: Sequence[pa.Table]) -> NDArray[np.int64]:
    return np.cumsum([0, *(len(table) for table in tables)], dtype=np.int64)


def _codes(run: Run, table: pa.Table) -> Codes:
    """Return the outcome of each row: its reason, or its verdict."""
    outcome = pc.coalesce(table["reason"], table["verdict"])
    codes = pc.index_in(outcome, value_set=pa.array(OUTCOMES))
    if codes.null_count:
        strange = pc.unique(outcome.filter(pc.is_null(codes))).to_pylist()
        raise StoreError(
            f"{run.path}: is damaged (unknown reason {strange[0]!r}); restore it from a backup"
        )
    return _numpy(codes).astype(np.int16)


def _scores(column: pa.ChunkedArray) -> Scores:
    return _numpy(pc.fill_null(column, float("nan"))).astype(np.float64)


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return _numpy(pc.fill_null(column, False)).astype(np.bool_)


def _numpy(column: pa.ChunkedArray) -> NDArray[np.generic]:
    array: NDArray[np.generic] = column.to_numpy()
    return array
