"""Arrow schema of revisions; records to a table and back.

Columns are only ever added, and are nullable, as in schema.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.common.revisions import Revision
from selfinstruct.filters.rules import reasons
from selfinstruct.store.values import fields_of, read_values, records_of, table_of

REVISIONS = pa.schema(
    [
        ("id", pa.string()),
        ("series_id", pa.string()),
        ("number", pa.int32()),
        ("instruction_id", pa.string()),
        ("instance_id", pa.string()),
        ("round", pa.int32()),
        ("instruction", pa.string()),
        ("input", pa.string()),
        ("principle", pa.string()),
        ("draft", pa.string()),
        ("critique", pa.string()),
        ("critique_id", pa.string()),
        ("completion_id", pa.string()),
        ("char_start", pa.int32()),
        ("char_end", pa.int32()),
        ("text", pa.string()),
        ("mean_logprob", pa.float64()),
        ("num_tokens", pa.int32()),
        ("unscored_reason", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("threshold", pa.float64()),
        ("cut", pa.string()),
    ]
)


def write_revisions(path: Path, revisions: Sequence[Revision]) -> None:
    table = table_of(fields_of(revisions, REVISIONS), REVISIONS)
    pq.write_table(table, path, compression="zstd")


def read_revisions(path: Path) -> list[Revision]:
    columns = read_values(path, REVISIONS)
    unknown = {reason for reason in columns["reason"] if reason is not None} - reasons().keys()
    if unknown:
        raise ValueError(f"unknown reason {min(unknown)!r}")
    return records_of(Revision, columns)
