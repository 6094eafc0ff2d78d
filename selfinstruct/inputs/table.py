"""The rows of a dataset as they are, with the columns that templates name."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.inputs.data_row import BadRowError
from selfinstruct.inputs.read_data import counted
from selfinstruct.inputs.recognise import columns_of
from selfinstruct.inputs.sources import find_source


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row: its id (its own, or its place), where it stands, and its columns."""

    id: str
    where: str
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of a dataset, and the SHA-256 of what they hold.

    name: of the file without its folder; on the hub with the commit.
    skipped: rows left out, by reason.
    """

    name: str
    rows: list[TableRow]
    digest: str
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order in which they occur."""
        return list(dict.fromkeys(name for row in self.rows for name in row.columns))


def read_table(dataset: str, *, skip_invalid: bool = False) -> Table:
    """Read a dataset: a file of any kind, a folder, or a name on the hub.

    Args:
        dataset: its name; a line of a text is a row with the column `text`.
        skip_invalid: leave out rows that are none, and count them.

    Raises:
        ConfigError: it cannot be read; names file and line.
    """
    source = find_source(dataset, "the dataset")
    places: list[tuple[str, Mapping[str, Any]]] = []
    digest = hashlib.sha256()
    skipped: Counter[str] = Counter()
    for raw in source.rows():
        try:
            columns = columns_of(raw)
        except BadRowError as error:
            if not skip_invalid:
                raise
            skipped[error.reason] += 1
            continue
        digest.update(json.dumps(columns, sort_keys=True).encode() + b"\n")
        places.append((raw.where, columns))
    name = source.path.name if source.path is not None else source.name
    if not places:
        left_out = f" that can be used (left out: {counted(skipped)})" if skipped else ""
        raise ConfigError(f"{dataset}: holds no row{left_out}; check the dataset")
    own = [_own_id(columns) for _, columns in places]
    are_ids = None not in own and len(set(own)) == len(own)
    rows = [
        TableRow(str(id) if are_ids else f"row-{number}", where, columns)
        for number, (id, (where, columns)) in enumerate(zip(own, places, strict=True), start=1)
    ]
    return Table(name, rows, digest.hexdigest(), skipped)


def _own_id(columns: Mapping[str, Any]) -> str | None:
    own = columns.get("id")
    is_id = isinstance(own, str | int) and not isinstance(own, bool) and str(own).strip()
    return str(own) if is_id else None
