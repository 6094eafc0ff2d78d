"""What a format of data is, and how one row of it is looked into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from selfinstruct.common.texts import shown
from selfinstruct.inputs.data_row import BadRowError, DataRow


class Kind(StrEnum):
    """What the rows of a format are; it decides which commands take them."""

    TASKS = "tasks with answers"
    TEXTS = "texts without answers"
    PAIRS = "pairs of answers"
    RANKED = "ranked answers"
    LABELS = "answers that a person liked or not"
    CHOICES = "questions with choices"


# Columns that change what a row means. A format that has no use for one refuses the row.
MEANING = frozenset(
    {
        *("system", "system_prompt", "history", "tools", "functions", "label", "kto_tag"),
        *("chosen", "rejected", "choices", "options"),
        *("image", "images", "audio", "audios", "video", "videos"),
    }
)
# What an empty cell may hold.
NOTHING: tuple[Any, ...] = (None, "", [], {}, "[]")


@dataclass(frozen=True, slots=True)
class Fields:
    """A row of a format: its columns that are not null, by their names in lower case.

    names: the column names of each field of the format, the usual one first.
    where: the row's place, for messages.
    """

    columns: Mapping[str, Any]
    names: Mapping[str, Sequence[str]]
    where: str

    def has(self, field: str) -> bool:
        return any(name in self.columns for name in self.names[field])

    def column(self, field: str) -> str:
        """Return the name of the column that holds a field, or its usual name."""
        names = self.names[field]
        for name in names:
            if name in self.columns:
                return name
        return names[0]

    def get(self, field: str) -> Any:
        """Return a field's value, None where it is absent."""
        return self.columns.get(self.column(field))

    def text(self, field: str) -> str:
        """Return a field's text.

        Raises:
            BadRowError: it is missing, or no text.
        """
        value = self.get(field)
        if value is None:
            raise self.bad(field, "is missing; give a text", "missing")
        return self.checked(value, self.column(field))

    def optional(self, field: str) -> str:
        """Return a field's text, or an empty one where it is absent.

        Raises:
            BadRowError: it is no text.
        """
        value = self.get(field)
        return "" if value is None else self.checked(value, self.column(field))

    def checked(self, value: Any, column: str) -> str:
        """Return a value that must be a text.

        Raises:
            BadRowError: it is none, or holds half a character.
        """
        if not isinstance(value, str):
            text = shown(value)
            raise BadRowError(
                self.where,
                f'"{column}" is not a text but {text}; give a text',
                f"{column}: no text",
            )
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise BadRowError(
                    self.where,
                    f'"{column}" holds half a character (a lone surrogate); correct it',
                    "half a character",
                ) from error
        return value

    def bad(self, field: str, problem: str, reason: str) -> BadRowError:
        column = self.column(field)
        return BadRowError(self.where, f'"{column}" {problem}', f"{column}: {reason}")


Convert = Callable[[Fields, DataRow], list[DataRow]]
"""Makes rows of the fields of a row. The second argument has id, number and place, no content."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format that data may come in.

    Attributes:
        name: of `--format`.
        kind: what its rows are.
        names: the columns of each field, the usual name first.
        needs: fields that a row of the format has.
        convert: makes rows of a row.
        help: what a row holds, for the docs.
        example: a row, for the docs and the tests.
        fits: whether a row that has the needed fields is of this format, from its values.
    """

    name: str
    kind: Kind
    names: Mapping[str, Sequence[str]]
    needs: Sequence[str]
    convert: Convert
    help: str
    example: Mapping[str, Any]
    fits: Callable[[Fields], bool] = lambda _: True

    def shape(self, columns: frozenset[str]) -> bool:
        """Whether the columns have what the format needs."""
        return all(any(name in columns for name in self.names[field]) for field in self.needs)

    def used(self, columns: Mapping[str, Any]) -> list[str]:
        """Return the columns that the format reads."""
        return [
            found
            for names in self.names.values()
            for found in [name for name in names if name in columns][:1]
        ]

    def ignored(self, columns: Mapping[str, Any]) -> str | None:
        """Return a column that changes the meaning and that the format has no use for."""
        known = {name for names in self.names.values() for name in names}
        for name in sorted(MEANING):
            if name in columns and name not in known and columns[name] not in NOTHING:
                if name == "label" and not isinstance(columns[name], bool):
                    continue  # a class or a topic
                return name
        return None
