"""Questions about a run, answered by DuckDB over its Parquet files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from selfinstruct.errors import StoreError
from selfinstruct.records import ACCEPTED
from selfinstruct.store import Run
from selfinstruct.store.answers import answer_batches, answer_info
from selfinstruct.store.batches import SUPPLEMENTS, batch_info, batch_numbers, batch_path

TABLES = ("instructions", "instances")


@dataclass(frozen=True)
class Summary:
    """What is in a run: counts by verdict and reason, and the yield of each round."""

    name: str
    model: str
    status: Mapping[str, Any]
    rounds: int
    tasks: int
    target: int
    instructions: Mapping[str, int]
    instances: Mapping[str, int]
    answers: Mapping[str, int]
    tokens: Mapping[str, int]
    seconds: float
    engine_idle_share: float
    novelty_share: float
    yields: list[float]
    likelihood: Mapping[str, float | None]

    @property
    def candidates(self) -> int:
        return sum(self.instructions.values())


def summarise(run: Run) -> Summary:
    """Count every candidate of a run; rejects by reason add up to the candidates."""
    infos = [run.info(number) for number in run.rounds()]
    instructions, instances = (_count_by_reason(run, table) for table in TABLES)
    written = {"tokens": dict, "seconds": float}
    later = [batch_info(run, SUPPLEMENTS, n, written) for n in batch_numbers(run, SUPPLEMENTS)]
    seconds = sum(info["seconds"] for info in [*infos, *later])
    novelty = sum(info.get("novelty_seconds", 0.0) for info in infos)
    idle = sum(info["engine_idle_share"] * info["seconds"] for info in infos)
    return Summary(
        name=run.name,
        model=run.meta["model"]["name"],
        status=run.status(),
        rounds=len(infos),
        tasks=instructions.get(ACCEPTED, 0),
        target=infos[-1]["target"] if infos else run.meta["config"]["stop"]["target"],
        instructions=instructions,
        instances=instances,
        answers=_count_answers(run),
        tokens={
            key: sum(info["tokens"][key] for info in [*infos, *later])
            for key in ("prompt", "generated")
        },
        seconds=seconds,
        engine_idle_share=idle / seconds if seconds else 0.0,
        novelty_share=novelty / seconds if seconds else 0.0,
        yields=[info["yield"] for info in infos],
        likelihood=infos[-1].get("likelihood", {}) if infos else {},
    )


def list_candidates(
    run: Run, table: str, *, verdict: str | None, reason: str | None, limit: int | None
) -> Iterator[dict[str, Any]]:
    """Yield candidates of one table in the order in which they were judged.

    Raises:
        StoreError: a file of the run is damaged.
    """
    if not run.rounds():
        return
    conditions, values = [], []
    for column, value in (("verdict", verdict), ("reason", reason)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    tail = f"LIMIT {int(limit)}" if limit is not None else ""
    query = (
        f"SELECT * EXCLUDE (file_row_number) FROM {_current(run, table)} {where} "
        f"ORDER BY round, file_row_number {tail}"
    )
    with _damage(run):
        cursor = duckdb.connect().execute(query, values)
        names = [column[0] for column in cursor.description or ()]
        while rows := cursor.fetchmany(1000):
            for row in rows:
                yield dict(zip(names, row, strict=True))


def _count_answers(run: Run) -> dict[str, int]:
    """Count the answers of other models by verdict or reason."""
    infos = (answer_info(run, number) for number in answer_batches(run))
    return dict(sum((Counter(info["answers"]) for info in infos), Counter()))


def _count_by_reason(run: Run, table: str) -> dict[str, int]:
    if not run.rounds():
        return {}
    query = (
        "SELECT coalesce(reason, verdict) AS outcome, count(*) AS rows "
        f"FROM {_current(run, table)} GROUP BY 1 ORDER BY outcome != 'accepted', rows DESC, 1"
    )
    with _damage(run):
        rows = duckdb.connect().execute(query).fetchall()
    return {str(outcome): int(count) for outcome, count in rows}


@contextmanager
def _damage(run: Run) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise StoreError(
            f"{run.path}: its tables cannot be read ({error}); restore what is damaged from a "
            "backup"
        ) from error


def _current(run: Run, table: str) -> str:
    """Return the SQL for the rows of a table as they stand: what was completed is in place."""
    if table not in TABLES:
        raise ValueError(f"no such table: {table}")
    recorded = _source(run.round_path(number) / f"{table}.parquet" for number in run.rounds())
    numbers = batch_numbers(run, SUPPLEMENTS)
    if not numbers:
        return recorded
    if table == "instances":
        # Behind the rows of their round, batch by batch.
        parts = [f"SELECT * FROM {recorded}"]
        for n in numbers:
            place = f"file_row_number + {(n + 1) * 10**9} AS file_row_number"
            source = _source([batch_path(run, SUPPLEMENTS, n) / "instances.parquet"])
            parts.append(f"SELECT * REPLACE ({place}) FROM {source}")
        return f"({' UNION ALL BY NAME '.join(parts)})"
    later = _source(batch_path(run, SUPPLEMENTS, n) / f"{table}.parquet" for n in numbers)
    changed = ("verdict", "reason", "threshold", "is_classification")
    values = ", ".join(
        f"CASE WHEN l.id IS NULL OR r.reason != 'pending_instances' THEN r.{name} "
        f"ELSE l.{name} END AS {name}"
        for name in changed
    )
    return f"(SELECT r.* REPLACE ({values}) FROM {recorded} r LEFT JOIN {later} l ON r.id = l.id)"


def _source(files: Iterable[Path]) -> str:
    """Return the SQL for Parquet files.

    They are listed one by one: in a pattern, a `[` or `*` in the run's own path would be
    read as a wildcard, and `*` matches unfinished rounds (`.00003.tmp`).
    """
    listed = ", ".join("'" + _escaped(str(file.resolve())) + "'" for file in files)
    return f"read_parquet([{listed}], union_by_name = true, file_row_number = true)"


def _escaped(path: str) -> str:
    """Return a path as a SQL literal holds it, with wildcards taken literally."""
    return re.sub(r"([*?\[\]])", r"[\1]", path).replace("'", "''")
