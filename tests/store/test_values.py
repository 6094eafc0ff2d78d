"""Columns are written and read as rows were."""

from __future__ import annotations

import io
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.records import InstanceCandidate, InstructionCandidate, Kind
from selfinstruct.store import Run, schema
from selfinstruct.store.values import fields_of, records_of, table_of, values_of
from tests.conftest import Generate

LISTS = st.lists(st.none() | st.lists(st.integers(-9, 9), max_size=4), max_size=9)


def written(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def test_a_run_is_written_as_by_rows(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run")
    for number in run.rounds():
        for rows, known in (
            (run.instructions(number), schema.INSTRUCTIONS),
            (run.instances(number), schema.INSTANCES),
        ):
            by_rows = pa.Table.from_pylist([as_row(row) for row in rows], schema=known)
            assert written(table_of(fields_of(rows, known), known)) == written(by_rows)


def as_row(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def test_completions_come_back(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run")
    completions = run.completions(0)
    path = tmp_path / "again.parquet"
    schema.write_completions(path, completions)
    assert schema.read_completions(path) == completions
    assert path.read_bytes() == (run.path / "rounds/00000/completions.parquet").read_bytes()
    schema.write_completions(path, [])
    assert schema.read_completions(path) == []
    assert pq.read_schema(path).equals(schema.COMPLETIONS)


def test_samplings_that_are_equal_are_each_written_as_they_are(
    tmp_path: Path, generate: Generate
) -> None:
    run, _ = generate(tmp_path / "run")
    one, other, *_ = run.completions(0)
    cold = one.request.sampling.model_copy(update={"temperature": 0})
    same = one.request.sampling.model_copy(update={"temperature": 0.0})
    pair = [
        replace(completion, request=replace(completion.request, sampling=sampling))
        for completion, sampling in ((one, cold), (other, same))
    ]
    path = tmp_path / "pair.parquet"
    schema.write_completions(path, pair)
    first, second = pq.read_table(path)["sampling"].to_pylist()
    assert ('"temperature": 0,' in first, '"temperature": 0.0,' in second) == (True, True)


def columns(lists: list[list[int] | None]) -> dict[str, pa.Array]:
    return {
        "lists": pa.array(lists, pa.list_(pa.int32())),
        "texts": pa.array([None if one is None else str(one) for one in lists], pa.string()),
        "numbers": pa.array([None if one is None else len(one) for one in lists], pa.int64()),
        "floats": pa.array([0.5 * len(one or ()) for one in lists], pa.float64()),
        "flags": pa.array([None if one is None else not one for one in lists], pa.bool_()),
        "words": pa.array([list(map(str, one or ())) for one in lists], pa.list_(pa.string())),
        "nulls": pa.array([[None, 1.0] for _ in lists], pa.list_(pa.float64())),
    }


@given(LISTS, LISTS, st.integers(0, 9), st.integers(0, 9))
def test_values_are_those_of_to_pylist(
    first: list[list[int] | None], second: list[list[int] | None], start: int, count: int
) -> None:
    tables = [pa.table(columns(one)) for one in (first, second)]
    whole = pa.concat_tables(tables)
    for table in (*tables, whole, whole.slice(start, count)):
        for name in table.column_names:
            assert values_of(table[name]) == table[name].to_pylist()


def test_nan_is_no_null() -> None:
    values = values_of(pa.chunked_array([pa.array([1.0, math.nan])]))
    assert values[0] == 1.0
    assert math.isnan(values[1])
    assert values_of(pa.chunked_array([pa.array([1.0, None])])) == [1.0, None]


def test_an_older_file_has_defaults(tmp_path: Path, generate: Generate) -> None:
    run: Run
    run, _ = generate(tmp_path / "run")
    path = tmp_path / "old.parquet"
    table = run.table(0, "instances.parquet")
    pq.write_table(table.drop_columns(["kind", "shown", "cut", "threshold"]), path)
    rows = schema.read_instances(path)
    bare = {"kind": None, "shown": None, "cut": None, "threshold": None}
    assert list(map(repr, rows)) == [repr(replace(row, **bare)) for row in run.instances(0)]
    assert {row.kind for row in run.instances(0)} <= {*Kind}


def test_a_column_that_must_be_there() -> None:
    with pytest.raises(KeyError, match="text"):
        records_of(
            InstructionCandidate,
            {
                "id": ["a"],
                "round": [0],
                "completion_id": ["b"],
                "char_start": [0],
                "char_end": [0],
                "raw_text": [""],
                "parents": [()],
            },
        )
    assert records_of(InstanceCandidate, {f.name: [] for f in fields(InstanceCandidate)}) == []
