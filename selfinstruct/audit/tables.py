"""A run's Parquet files in DuckDB: the rows as judged, and the errors of damaged files.

A query reads what is committed at that moment, so a run can be queried while it grows. DuckDB
caches the footers of files; it reads the footer of a replaced file again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.decisions.view import read_judged
from selfinstruct.store import Run, open_run
from selfinstruct.store.commits import SUPPLEMENTS
from selfinstruct.store.layout import COMPLETIONS, INSTANCES
from selfinstruct.store.packs import packed_numbers

TABLES = ("instructions", "instances")
# Rows of supplements come after all rounds; each supplement starts at a multiple of this.
_BATCH_ROWS = 10**9
# The columns that a supplement replaces, and the table's name in queries.
_REPLACED = "replaced"
_CHANGED = pa.schema(
    [
        ("id", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("threshold", pa.float64()),
        ("is_classification", pa.bool_()),
    ]
)


def check_table(table: str) -> None:
    """Raise ConfigError unless a table of candidates has this name."""
    if table not in TABLES:
        raise ConfigError(f"{table}: is not a table of candidates; there are: {', '.join(TABLES)}")


def fetch_all(run: Run, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a query.

    Raises:
        StoreError: a file of the run is damaged.
    """
    with damage(run):
        rows: list[tuple[Any, ...]] = _cursor(run).execute(query, list(values)).fetchall()
        return rows


def fetch_columns(run: Run, query: str, values: Sequence[Any] = ()) -> dict[str, Any]:
    """Return the columns of a query, none of them null, as numpy arrays.

    Raises:
        StoreError: a file of the run is damaged.
    """
    with damage(run):
        columns: dict[str, Any] = _cursor(run).execute(query, list(values)).fetchnumpy()
        return columns


def stream(run: Run, query: str, values: Sequence[Any] = ()) -> Iterator[dict[str, Any]]:
    """Yield the rows of a query, by column.

    Raises:
        StoreError: a file of the run is damaged.
    """
    with damage(run):
        cursor = _cursor(run).execute(query, list(values))
        names = [column[0] for column in cursor.description or ()]
        while rows := cursor.fetchmany(1000):
            for row in rows:
                yield dict(zip(names, row, strict=True))


@contextmanager
def damage(run: Run) -> Iterator[None]:
    """Turn the errors of a damaged file into StoreError."""
    try:
        yield
    except duckdb.Error as error:
        raise StoreError(
            f"{run.path}: its tables cannot be read ({why(error)}); restore what is damaged from a "
            "backup"
        ) from error


def judged(run: Run, table: str, rounds: Iterable[int] | None = None) -> str:
    """Return the SQL for the rows of a table as judged, with the rows of supplements in place.

    decisions/view.py alone decides which rows of supplements replace others. Every query finds
    them as the small table `replaced`.

    `round` and `file_row_number` give the order of judging. The run must have a round.

    Args:
        run: the run.
        table: `instructions` or `instances`.
        rounds: the ones to read; all by default. Supplements are always read.
    """
    chosen = run.rounds() if rounds is None else sorted(rounds)
    recorded = _source(run.committed(number, f"{table}.parquet") for number in chosen)
    if rounds is not None and not packed_numbers(run.path).isdisjoint(chosen):
        # A pack has other rounds too.
        recorded = f"(SELECT * FROM {recorded} WHERE round IN ({', '.join(map(str, chosen))}))"
    numbers = SUPPLEMENTS.numbers(run)
    if not numbers:
        return recorded
    if table == "instances":
        parts = [f"SELECT * FROM {recorded}"]
        for n in numbers:
            place = f"file_row_number + {(n + 1) * _BATCH_ROWS} AS file_row_number"
            source = _source([SUPPLEMENTS.committed(run, n, INSTANCES)])
            parts.append(f"SELECT * REPLACE ({place}) FROM {source}")
        return f"({' UNION ALL BY NAME '.join(parts)})"
    values = ", ".join(
        f"CASE WHEN l.id IS NULL THEN r.{name} ELSE l.{name} END AS {name}"
        for name in _CHANGED.names
        if name != "id"
    )
    return (
        f"(SELECT r.* REPLACE ({values}) FROM {recorded} r LEFT JOIN {_REPLACED} l ON r.id = l.id)"
    )


def completions_of(run: Run, rounds: Iterable[int]) -> str:
    """Return the SQL for the completions of rounds, with the `round` of each row."""
    chosen = sorted(rounds)
    source = _source(run.committed(number, COMPLETIONS) for number in chosen)
    of_row = "CAST(regexp_extract(id, '^r([0-9]+)-', 1) AS INTEGER)"
    listed = ", ".join(map(str, chosen))
    return f"(SELECT *, {of_row} AS round FROM {source} WHERE {of_row} IN ({listed}))"


def _cursor(run: Run) -> duckdb.DuckDBPyConnection:
    """Return a new cursor for one query about a run, with the run's `replaced` rows."""
    cursor = _database().cursor()
    infos = {number: SUPPLEMENTS.info_path(run, number) for number in SUPPLEMENTS.numbers(run)}
    # A missing file is a damage, which the first read reports.
    batches = tuple(
        (number, info.stat().st_mtime_ns if info.exists() else 0) for number, info in infos.items()
    )
    if batches:
        cursor.register(_REPLACED, _replaced(run.path, str(run.meta.get("created")), batches))
    return cursor


@lru_cache(maxsize=16)
def _replaced(path: Path, _created: str, _batches: tuple[tuple[int, int], ...]) -> pa.Table:
    """Return the rows of supplements that replace others; each commit may add some."""
    rows = read_judged(open_run(path)).replaced()
    return pa.Table.from_pylist(
        [{name: getattr(row, name) for name in _CHANGED.names} for row in rows], schema=_CHANGED
    )


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    """Return the one database of this process; each query has its own cursor."""
    database = duckdb.connect()
    database.execute("SET parquet_metadata_cache = true")
    return database


def _source(files: Iterable[Path]) -> str:
    """Return the SQL for Parquet files; one that several rounds lie in is read once.

    They are listed one by one. In a pattern, a `[` or `*` in the run's own path would be a
    wildcard, and `*` matches unfinished rounds (`.00003.tmp`).
    """
    once = dict.fromkeys(files)
    listed = ", ".join("'" + _escaped(str(file.absolute())) + "'" for file in once)
    return f"read_parquet([{listed}], union_by_name = true, file_row_number = true)"


def _escaped(path: str) -> str:
    """Return a path escaped for a SQL literal, with its wildcards escaped."""
    return re.sub(r"([*?\[\]])", r"[\1]", path).replace("'", "''")
