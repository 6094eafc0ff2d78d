"""Arrow schemas of self-chats and their turns; records to tables and back.

Columns are only ever added, and are nullable, as in schema.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.common.chats import ChatTurn, SelfChat
from selfinstruct.filters.rules import reasons

CONVERSATIONS = pa.schema(
    [
        ("id", pa.string()),
        ("instruction_id", pa.string()),
        ("instance_id", pa.string()),
        ("round", pa.int32()),
        ("opened_by", pa.string()),
        ("rouge_l", pa.float64()),
        ("neighbour_id", pa.string()),
        ("exchanges", pa.int32()),
        ("ended", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
    ]
)

TURNS = pa.schema(
    [
        ("id", pa.string()),
        ("chat_id", pa.string()),
        ("number", pa.int32()),
        ("role", pa.string()),
        ("completion_id", pa.string()),
        ("char_start", pa.int32()),
        ("char_end", pa.int32()),
        ("text", pa.string()),
        ("mean_logprob", pa.float64()),
        ("num_tokens", pa.int32()),
        ("unscored_reason", pa.string()),
        ("logprob_threshold", pa.float64()),
        ("shared", pa.float64()),
        ("shared_with", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("threshold", pa.float64()),
        ("cut", pa.string()),
    ]
)


def write_chats(path: Path, chats: Sequence[SelfChat]) -> None:
    _write(path, chats, CONVERSATIONS)


def read_chats(path: Path) -> list[SelfChat]:
    return [SelfChat(**row) for row in _read(path, CONVERSATIONS)]


def write_turns(path: Path, turns: Sequence[ChatTurn]) -> None:
    _write(path, turns, TURNS)


def read_turns(path: Path) -> list[ChatTurn]:
    return [ChatTurn(**row) for row in _read(path, TURNS)]


def _write(path: Path, records: Sequence[Any], schema: pa.Schema) -> None:
    rows = [{field.name: getattr(one, field.name) for field in fields(one)} for one in records]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")


def _read(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    stored = pq.read_schema(path)
    columns = [name for name in schema.names if name in stored.names]
    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    for row in rows:
        if row["reason"] is not None and row["reason"] not in reasons():
            raise ValueError(f"unknown reason {row['reason']!r}")
    return rows
