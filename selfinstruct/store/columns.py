"""Read columns of a Parquet file, of all its rows or of one round's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.store.packs import read_rows

# First row and number of rows of a round, in a file that has several.
Place = tuple[int, int]


def read_columns(
    path: Path, schema: pa.Schema, names: Sequence[str], place: Place | None = None
) -> pa.Table:
    """Read some columns of a table, or of the rows at a place; what an older run lacks is null."""
    stored = set(pq.read_schema(path).names)
    table = read_table(path, [name for name in names if name in stored], place)
    for name in names:
        if name not in stored:
            nothing = pa.nulls(len(table), schema.field(name).type)
            table = table.append_column(name, nothing)
    return table.select(list(names))


def read_table(path: Path, columns: Sequence[str] | None, place: Place | None = None) -> pa.Table:
    """Read columns of a table, or all; of all rows, or of those at a place."""
    if place is None:
        return pq.read_table(path, columns=None if columns is None else list(columns))
    return read_rows(path, columns, place)
