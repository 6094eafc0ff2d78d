"""Rows to train on, selected by an expression over the columns of the ledger.

A part of an arm of `study_pilot.py`, as its YAML writes it:

    from: outputs/first      a run, `seeds`, or JSON lines with instruction, input and output
    answers: own             or teacher, prefer-teacher: of a run
    scores: more.jsonl       further columns of a run's rows, by `id`
    where: words(output) >= 20 and not is_classification
    order: conditional_gain desc
    most: 200                the first so many in that order; without an order, a seeded draw
    times: 3                 each row so often

Expressions are SQL as DuckDB reads it. The columns of a run are those of its export, of the
ledger's instances, and of its instructions with `instruction_` before their names.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.jsonlines import read_objects
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.inputs.seeds import parse_seeds, read_seed_bytes, shipped_seeds
from selfinstruct.prompts.canonical import user_text
from selfinstruct.store import open_run
from selfinstruct.store.schema import INSTANCES, INSTRUCTIONS
from selfinstruct.train.data.turns import TrainRow, task_row

KEYS = ("from", "answers", "scores", "where", "order", "most", "times")


def part_rows(part: Mapping[str, Any]) -> list[TrainRow]:
    """Return the rows of a part of an arm.

    Raises:
        ConfigError: an unknown key, a source that there is not, or a wrong expression.
    """
    unknown = sorted(set(part) - set(KEYS))
    if unknown or "from" not in part:
        raise ConfigError(f"part {dict(part)}: {unknown or 'no from'}; the keys are {KEYS}")
    columns = table(part)
    if not columns:
        raise ConfigError(f"part {dict(part)}: the source holds no row; generate some first")
    texts = {row["id"]: row for row in columns}
    rows = [_train_row(texts[id]) for id in selected(columns, part)]
    if part.get("most") is not None and "order" not in part:
        rows = drawn(rows, int(part["most"]))
    return rows * int(part.get("times", 1))


def drawn(rows: list[TrainRow], most: int) -> list[TrainRow]:
    """Return a seeded draw of at most so many rows, in their order."""
    places = random.Random(0).sample(range(len(rows)), min(most, len(rows)))
    return [rows[place] for place in sorted(places)]


def selected(columns: list[dict[str, Any]], part: Mapping[str, Any]) -> list[str]:
    """Return the ids of the rows for which `where` holds, in the order asked for."""
    query = f"select id from part where {part.get('where', 'true')} order by "
    query += f"{part.get('order', 'place')}, place"
    if part.get("most") is not None and "order" in part:
        query += f" limit {int(part['most'])}"
    with duckdb.connect() as connection:
        connection.execute("create macro words(t) as len(regexp_extract_all(t, '\\S+'))")
        placed = [{**row, "place": place} for place, row in enumerate(columns)]
        connection.register("part", pa.Table.from_pylist(placed))
        try:
            return [id for (id,) in connection.execute(query).fetchall()]
        except duckdb.Error as error:
            names = ", ".join(columns[0]) if columns else ""
            raise ConfigError(f"{query}: {error}; the columns are {names}") from error


def table(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a run or of JSON lines, with all of their columns."""
    if part["from"] == "seeds":
        path = shipped_seeds()
        tasks = parse_seeds(read_seed_bytes(path), path)
        return [
            {
                "id": f"{task.pool_id}-{place}",
                "instruction": task.instruction,
                "is_classification": task.is_classification,
                "input": instance.input,
                "output": instance.output,
            }
            for task in tasks
            for place, instance in enumerate(task.instances)
        ]
    source = Path(part["from"])
    if not source.is_dir():
        lines = [{"id": f"line-{number}", **line} for number, line in read_objects(source, "from")]
        return _same_columns(lines)
    rows = [
        asdict(row) for row in export_rows(open_run(source), Answers(part.get("answers", "own")))
    ]
    instances = _ledger(source, "instances", INSTANCES)
    instructions = _ledger(source, "instructions", INSTRUCTIONS)
    scores: dict[str, dict[str, Any]] = {}
    if "scores" in part:
        scores = {line["id"]: line for _, line in read_objects(Path(part["scores"]), "scores")}
    full = []
    for row in rows:
        about = instructions.get(row["instruction_id"], {})
        named = {f"instruction_{name}": value for name, value in about.items()}
        full.append({**named, **instances.get(row["id"], {}), **row, **scores.get(row["id"], {})})
    return _same_columns(full)


def _same_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _ledger(run: Path, name: str, schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Return the rows of a table of all commits of a run, by id."""
    rows: dict[str, dict[str, Any]] = {}
    for file in sorted(run.glob(f"*/[0-9]*/{name}.parquet")):
        stored = [column for column in schema.names if column in pq.read_schema(file).names]
        rows |= {row["id"]: row for row in pq.read_table(file, columns=stored).to_pylist()}
    return rows


def _train_row(row: Mapping[str, Any]) -> TrainRow:
    user = user_text(row["instruction"], row.get("input") or "")
    return task_row(row["id"], row["instruction"], user, row["output"])
