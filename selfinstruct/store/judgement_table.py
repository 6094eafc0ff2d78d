"""Arrow schema of judgements; records to a table and back.

Columns are only ever added, and are nullable, as in schema.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.common.judged import Judgement
from selfinstruct.store.values import fields_of, read_values, records_of, table_of

JUDGEMENTS = pa.schema(
    [
        ("id", pa.string()),
        ("instance_id", pa.string()),
        ("instruction_id", pa.string()),
        ("round", pa.int32()),
        ("score", pa.float64()),
        ("answers", pa.list_(pa.string())),
        ("reasons", pa.list_(pa.string())),
    ]
)


def write_judgements(path: Path, judgements: Sequence[Judgement]) -> None:
    table = table_of(fields_of(judgements, JUDGEMENTS), JUDGEMENTS)
    pq.write_table(table, path, compression="zstd")


def read_judgements(path: Path) -> list[Judgement]:
    columns = dict(read_values(path, JUDGEMENTS))
    for name in ("answers", "reasons"):
        columns[name] = [tuple(values or ()) for values in columns[name]]
    return records_of(Judgement, columns)
