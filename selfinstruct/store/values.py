"""Records to columns and back: a column at a time, which costs a tenth of a row at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from itertools import pairwise, repeat
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from selfinstruct.store.columns import Place, read_stored

R = TypeVar("R")


def fields_of(records: Sequence[Any], schema: pa.Schema) -> list[list[Any]]:
    """Return the fields of records, a list for each column of a schema."""
    return [list(map(attrgetter(name), records)) for name in schema.names]


def table_of(columns: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Return a table of columns, in the order of its schema."""
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def read_values(
    path: Path,
    schema: pa.Schema,
    place: Place | None = None,
    only: tuple[str, Collection[str] | None] = ("id", None),
) -> dict[str, list[Any]]:
    """Read the columns that a schema knows, as `to_pylist` returns them.

    Args:
        path: a Parquet file.
        schema: its columns; an older file lacks some.
        place: of the rows to look at, if not all are.
        only: a column, and the values of it whose rows are read; None: all rows.
    """
    table = read_stored(path, schema.names, place)
    key, values = only
    if values is not None:
        table = table.filter(pc.is_in(table[key], pa.array(list(values), pa.string())))
    return {name: values_of(table[name]) for name in table.column_names}


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column, as its `to_pylist` does."""
    return [value for chunk in column.chunks for value in _values(chunk)]


def _values(array: pa.Array) -> list[Any]:
    if pa.types.is_list(array.type) and not array.null_count:
        ends: list[int] = array.offsets.to_numpy().tolist()
        # Offsets count from the start of what the values are a part of.
        items = _values(array.flatten())
        return [items[start - ends[0] : end - ends[0]] for start, end in pairwise(ends)]
    is_number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    if is_number and not array.null_count:
        return list(array.to_numpy().tolist())
    return list(array.to_pylist())


def records_of(kind: type[R], columns: Mapping[str, Sequence[Any]]) -> list[R]:
    """Return records of a dataclass; a field without a column has its default.

    Raises:
        KeyError: a field that has none lacks its column.
    """
    own = fields(kind)  # type: ignore[arg-type]
    lacking = [f.name for f in own if f.name not in columns and f.default is MISSING]
    if lacking:
        raise KeyError(lacking[0])
    return list(map(kind, *(columns.get(f.name, repeat(f.default)) for f in own)))
