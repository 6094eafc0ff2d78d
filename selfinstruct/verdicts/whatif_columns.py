"""The candidates of a run by columns: what is needed to judge them again by other thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

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
    *("id", "is_classification", "mean_logprob", "rouge_l", "neighbour_id"),
    *("verdict", "reason"),
)
_OF_INSTANCES = ("id", "instruction_id", "kind", "mean_logprob", "verdict", "reason")
# What is kept of them.
_NO_INSTRUCTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("outcome", pa.int16()),
        ("is_classification", pa.bool_()),
        ("mean_logprob", pa.float64()),
        ("rouge_l", pa.float64()),
        ("neighbour_id", pa.string()),
    ]
).empty_table()
_NO_INSTANCES = pa.schema(
    [
        ("id", pa.string()),
        ("instruction", pa.int32()),
        ("outcome", pa.int16()),
        ("mean_logprob", pa.float64()),
        ("is_label", pa.bool_()),
    ]
).empty_table()
# Rounds are turned into arrays so many candidates at a time: this bounds the memory that it takes,
# and a small round does not cost as much as a large one.
_TOGETHER = 50_000
# Rounds whose texts are kept for the next question about one of them.
_RECENT = 64
# Numbers that stand for no text, and for one that is no candidate of the run.
NO_TEXT, UNKNOWN_TEXT = -1, -2

Codes = NDArray[np.int16]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Instructions:
    """All instructions, in order.

    starts: where each round begins; one more entry for the end.
    outcome: as recorded, a code.
    logprob, rouge_l: NaN where there is none.
    is_classification: of the task; false where nobody was asked.
    neighbour: number of the nearest among all texts (`Columns.pool` first), or `NO_TEXT`, or
        `UNKNOWN_TEXT`.
    """

    starts: NDArray[np.int64]
    ids: pa.ChunkedArray
    outcome: Codes
    is_classification: NDArray[np.bool_]
    logprob: Scores
    rouge_l: Scores
    neighbour: NDArray[np.int32]


@dataclass(frozen=True)
class Instances:
    """All instances, in order.

    instruction: place of the instruction of each among all.
    is_label: whether its score is of a label.
    """

    starts: NDArray[np.int64]
    ids: pa.ChunkedArray
    instruction: NDArray[np.int32]
    outcome: Codes
    logprob: Scores
    is_label: NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """The candidates of a run; `pool` has (id, text) of the texts that it started from.

    Texts are read when they are asked for: those of a large run would fill the memory.
    """

    run: Run
    rounds: Sequence[int]
    targets: Sequence[int]
    pool: Sequence[tuple[str, str]]
    instructions: Instructions
    instances: Instances

    def texts(self) -> Iterator[pa.Array]:
        """Yield the texts of pool and instructions; of those that failed by their text, none.

        Raises:
            StoreError: a file of the run is damaged.
        """
        yield pa.array([text for _, text in self.pool], pa.string())
        rows, empty = self.instructions, pa.scalar(None, pa.string())
        for place in range(len(self.rounds)):
            own = slice(int(rows.starts[place]), int(rows.starts[place + 1]))
            failed = pa.array(~PASSED_TEXT[rows.outcome[own]])
            yield from pc.if_else(failed, empty, self._read_texts(place)).chunks

    def text(self, number: int) -> str:
        """Return the text of a number of `texts`.

        Raises:
            StoreError: a file of the run is damaged.
        """
        if number < len(self.pool):
            return self.pool[number][1]
        starts, row = self.instructions.starts, number - len(self.pool)
        place = int(np.searchsorted(starts, row, side="right")) - 1
        return str(self._texts_of(place)[row - int(starts[place])].as_py() or "")

    def output(self, row: int) -> str:
        """Return the output of the instance at a place.

        Raises:
            StoreError: a file of the run is damaged.
        """
        starts = self.instances.starts
        place = int(np.searchsorted(starts, row, side="right")) - 1
        return str(self._outputs_of(place)[row - int(starts[place])].as_py() or "")

    def id(self, number: int) -> str:
        """Return the id of a number of `texts`."""
        if number < len(self.pool):
            return self.pool[number][0]
        return str(self.instructions.ids[number - len(self.pool)].as_py())

    @cached_property
    def _texts_of(self) -> Callable[[int], pa.ChunkedArray]:
        return lru_cache(maxsize=_RECENT)(self._read_texts)

    @cached_property
    def _outputs_of(self) -> Callable[[int], pa.ChunkedArray]:
        return lru_cache(maxsize=_RECENT)(self._read_outputs)

    def _read_outputs(self, place: int) -> pa.ChunkedArray:
        return self.run.columns(self.rounds[place], INSTANCES, ("output",))["output"]

    def _read_texts(self, place: int) -> pa.ChunkedArray:
        return self.run.columns(self.rounds[place], INSTRUCTIONS, ("text",))["text"]


def read_candidates(run: Run, pool: Sequence[tuple[str, str]]) -> Columns:
    """Read the candidates of a run, without their texts.

    Raises:
        StoreError: a file of the run is damaged.
    """
    rounds = run.rounds()
    targets = [run.info(number)["target"] for number in rounds]
    sizes: list[tuple[int, int]] = [(0, 0)]
    parts = []
    for tables in _read_together(run, rounds):
        first = sum(count for count, _ in sizes)
        parts.append(_coded(run, tables, first))
        sizes += [(len(own), len(instances)) for own, instances in tables]
    give_back_memory()
    starts = np.cumsum(sizes, axis=0, dtype=np.int64)
    instructions = pa.concat_tables([_NO_INSTRUCTIONS, *(own for own, _ in parts)])
    instances = pa.concat_tables([_NO_INSTANCES, *(own for _, own in parts)])
    return Columns(
        run,
        rounds,
        targets,
        pool,
        _instructions(starts[:, 0], instructions, pool),
        _instances(starts[:, 1], instances),
    )


def give_back_memory() -> None:
    """Return to the system what reading many files has left behind: a fifth of all that is held."""
    pa.default_memory_pool().release_unused()


def _read_together(run: Run, rounds: Sequence[int]) -> Iterator[list[tuple[pa.Table, pa.Table]]]:
    """Yield the tables of instructions and instances of some rounds at a time."""
    waiting: list[tuple[pa.Table, pa.Table]] = []
    for number in rounds:
        instructions = run.columns(number, INSTRUCTIONS, _OF_INSTRUCTIONS)
        waiting.append((instructions, run.columns(number, INSTANCES, _OF_INSTANCES)))
        if sum(len(own) for own, _ in waiting) >= _TOGETHER:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _coded(
    run: Run, tables: Sequence[tuple[pa.Table, pa.Table]], first: int
) -> tuple[pa.Table, pa.Table]:
    """Return the candidates of some rounds as short columns; the first instruction is `first`."""
    table = pa.concat_tables([own for own, _ in tables])
    flags = pc.fill_null(table["is_classification"], False)
    instructions = _table(
        _NO_INSTRUCTIONS.schema,
        table["id"],
        _codes(run, table),
        flags,
        table["mean_logprob"],
        table["rouge_l"],
        table["neighbour_id"],
    )
    rows = pa.concat_tables([own for _, own in tables])
    place = pc.index_in(rows["instruction_id"], value_set=table["id"])
    if place.null_count:
        raise StoreError(
            f"{run.path}: has instances of an instruction that it lacks; restore it from a backup"
        )
    # Runs that are older than kinds: labels are the outputs of classification.
    is_label = pc.coalesce(pc.equal(rows["kind"], str(Kind.LABEL)), pc.take(flags, place))
    instances = _table(
        _NO_INSTANCES.schema,
        rows["id"],
        pc.add(place, pa.scalar(first, pa.int32())),
        _codes(run, rows),
        rows["mean_logprob"],
        is_label,
    )
    return instructions, instances


def _table(schema: pa.Schema, *columns: pa.ChunkedArray) -> pa.Table:
    """Return a table of columns, each in one piece of memory of its own size."""
    return pa.table(list(columns), schema=schema).combine_chunks()


def _instructions(
    starts: NDArray[np.int64], table: pa.Table, pool: Sequence[tuple[str, str]]
) -> Instructions:
    known = pa.chunked_array([pa.array([id for id, _ in pool], pa.string()), *table["id"].chunks])
    near = pc.index_in(table["neighbour_id"], value_set=known)
    unknown = pc.and_(pc.is_null(near), pc.is_valid(table["neighbour_id"]))
    neighbour = np.where(_numpy(unknown), UNKNOWN_TEXT, _numpy(pc.fill_null(near, NO_TEXT)))
    return Instructions(
        starts,
        table["id"],
        _numpy(table["outcome"]),
        _numpy(table["is_classification"]),
        _scores(table["mean_logprob"]),
        _scores(table["rouge_l"]),
        neighbour.astype(np.int32),
    )


def _instances(starts: NDArray[np.int64], table: pa.Table) -> Instances:
    return Instances(
        starts,
        table["id"],
        _numpy(table["instruction"]),
        _numpy(table["outcome"]),
        _scores(table["mean_logprob"]),
        _numpy(table["is_label"]),
    )


def _codes(run: Run, table: pa.Table) -> pa.ChunkedArray:
    """Return the outcome of each row: its reason, or its verdict."""
    outcome = pc.coalesce(table["reason"], table["verdict"])
    codes = pc.index_in(outcome, value_set=pa.array(OUTCOMES))
    if codes.null_count:
        strange = pc.unique(outcome.filter(pc.is_null(codes))).to_pylist()
        raise StoreError(
            f"{run.path}: is damaged (unknown reason {strange[0]!r}); restore it from a backup"
        )
    return codes.cast(pa.int16())


def _scores(column: pa.ChunkedArray) -> Scores:
    return _numpy(pc.fill_null(column, float("nan")))


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    array: NDArray[Any] = column.to_numpy()
    return array
