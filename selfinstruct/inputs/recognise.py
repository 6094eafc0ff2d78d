"""Say which format a row has, from its columns, and make records of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.formats import FORMATS, format_of
from selfinstruct.inputs.formats.base import MEANING, Fields, Format
from selfinstruct.inputs.raw import RawRow

# The column of a row that is a text alone.
_TEXT = "text"
# Columns that tell a format even where another one is missing.
_TELLING = {"chosen", "rejected", "ranked", "instances"}


@dataclass
class Recogniser:
    """Turns raw rows into records; one format for the whole file if `format` names it.

    seen: formats so far, with the columns that they read, and how many rows each had.
    """

    format: Format | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    seen: dict[tuple[str, tuple[str, ...]], int] = field(default_factory=dict)
    shapes: dict[frozenset[str], Sequence[Format]] = field(default_factory=dict)

    def rows(self, raw: RawRow) -> list[DataRow]:
        """Return the records of a raw row.

        Raises:
            BadRowError: it has no known format, or a field that cannot be used.
        """
        columns = self._renamed(raw)
        format, fields = self._format_of(columns, raw.where)
        ignored = self._ignored(format, columns)
        if ignored is not None:
            raise BadRowError(
                raw.where,
                f'"{ignored}" is {shown(columns[ignored])}, which changes what the row means, and '
                f"{format.name} rows are read without it; give another --format, or leave the "
                f"column out with --columns {ignored}=",
                f"{ignored}: not used by {format.name}",
            )
        used = (format.name, tuple(format.used(columns)))
        id = _id(columns, raw)
        blank = DataRow(
            id, raw.where, raw.number, (), group=id, format=format.name, columns=columns
        )
        rows = format.convert(fields, blank)
        self.seen[used] = self.seen.get(used, 0) + 1
        return rows

    def _renamed(self, raw: RawRow) -> Mapping[str, Any]:
        """Return the columns that are not null, in lower case, under the names of `--columns`."""
        columns = {
            name.strip().lower(): cell
            for name, cell in columns_of(raw).items()
            # NaN is how tables of numbers write an empty cell.
            if cell is not None and not (isinstance(cell, float) and math.isnan(cell))
        }
        if self.columns:
            taken = {name: columns.pop(name, None) for name in self.columns.values()}
            for ours, theirs in self.columns.items():
                columns.pop(ours, None)
                if theirs and taken[theirs] is not None:
                    columns[ours] = taken[theirs]
        return columns

    def _format_of(self, columns: Mapping[str, Any], where: str) -> tuple[Format, Fields]:
        if self.format is not None:
            return self.format, Fields(columns, self.format.names, where)
        key = frozenset(columns)
        if key not in self.shapes:
            self.shapes[key] = [format for format in FORMATS if format.shape(key)]
        shapes = self.shapes[key]
        first = None
        for format in shapes:
            fields = Fields(columns, format.names, where)
            if format.fits(fields):
                first = first or (format, fields)
                if self._ignored(format, columns) is None:
                    return format, fields
        if first is not None and self._ignored(first[0], columns) not in ("chosen", "rejected"):
            return first
        told = [format for format in FORMATS if _TELLING & key & set(format.names)]
        if told:  # its own columns say what is missing
            nearest = max(told, key=lambda known: _likeness(known, key))
            return nearest, Fields(columns, nearest.names, where)
        names = ", ".join(sorted(key)) or "none"
        raise BadRowError(
            where,
            f"has a format that is not known (its columns: {names:.200}); say which columns are "
            "which, such as --columns instruction=query,output=reply, or give --format",
            "no known format",
        )

    def _ignored(self, format: Format, columns: Mapping[str, Any]) -> str | None:
        return None if MEANING.isdisjoint(columns) else format.ignored(columns)

    def said(self) -> str:
        """Return what was recognised, such as `alpaca: instruction, input, output`."""
        totals: dict[str, int] = {}
        used: dict[str, list[str]] = {}
        for (name, columns), count in self.seen.items():
            totals[name] = totals.get(name, 0) + count
            used[name] = list(dict.fromkeys([*used.get(name, []), *columns]))
        if len(totals) == 1:
            (name,) = totals
            names = [name for names in format_of(name).names.values() for name in names]
            return f"{name}: {', '.join(column for column in names if column in used[name])}"
        listed = ", ".join(f"{count:,} {name}" for name, count in totals.items())
        return listed or "no known format"


def columns_of(raw: RawRow) -> dict[str, Any]:
    """Return the columns of a raw row as they are; a line of text is the column `text`.

    Raises:
        BadRowError: it is no object, or was not readable at all.
    """
    value = raw.value
    if isinstance(value, BadRowError):
        raise value
    if isinstance(value, str):
        return {_TEXT: value}
    if not isinstance(value, dict):
        raise BadRowError(raw.where, f"is {shown(value)}, no object; write {{…}}", "not an object")
    return value


def _likeness(format: Format, columns: frozenset[str]) -> float:
    """Return the share of a format's needed fields that columns have."""
    needed = [any(name in columns for name in format.names[field]) for field in format.needs]
    return sum(needed) / len(needed)


def _id(columns: Mapping[str, Any], raw: RawRow) -> str:
    """Return a row's own id, or one made of its number.

    Raises:
        BadRowError: its id is neither a text nor a whole number.
    """
    value = columns.get("id")
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, float) and value.is_integer():  # a table with a missing id
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None:
        return str(raw.number)
    text = shown(value)
    problem = "is empty" if value == "" or isinstance(value, str) else f"is {text}"
    raise BadRowError(raw.where, f'"id" {problem}; give a text, or leave it out', "id: no text")
