"""Read columns of a Parquet file, of all its rows or of one round's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.store.packs import read_rows, schema_of

# First row and number of rows of a round, in a file that has several.
Place = tuple[int, int]

_FEW = 20_000  # rows


def read_columns(
    path: Path, schema: pa.Schema, names: Sequence[str], place: Place | None = None
) -> pa.Table:
    """Read some columns of a table, or of the rows at a place; what an older run lacks is null."""
    table = read_stored(path, names, place)
    for name in set(names) - set(table.column_names):
        table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
    return table.select(list(names))


def read_stored(path: Path, names: Sequence[str], place: Place | None = None) -> pa.Table:
    """Read those of some columns that a file has, of all rows or of those at a place."""
    if place is not None:
        known = set(schema_of(path).names)
        return read_rows(path, [name for name in names if name in known], place)
    # Opened once, for the names and for the rows; `pq.read_table` takes four times as long.
    # A round is small: threads, and reading ahead as for a remote file, would take twice as long.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        known = set(file.schema_arrow.names)
        own = [name for name in names if name in known]
        return file.read(columns=own, use_threads=file.metadata.num_rows > _FEW).select(own)


def read_table(path: Path, place: Place | None = None) -> pa.Table:
    """Read all columns of a table, of all rows or of those at a place."""
    if place is not None:
        return read_rows(path, None, place)
    with pq.ParquetFile(path) as file:
        return file.read()
