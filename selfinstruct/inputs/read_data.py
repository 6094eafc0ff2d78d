"""Read somebody's data, in whatever format it comes: the one reader of every command."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import shipped_file
from selfinstruct.common.texts import amount
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.formats import format_of
from selfinstruct.inputs.purposes import Purpose
from selfinstruct.inputs.recognise import Recogniser
from selfinstruct.inputs.sources import Source, find_source

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReadAs:
    """How data is to be read.

    format: of all rows; None: recognised from each row's columns.
    columns: our names of columns, and the file's; an empty name leaves a column out.
    skip_invalid: leave out rows that cannot be used, and count them.
    """

    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    skip_invalid: bool = False


AS_IT_IS = ReadAs()


@dataclass(frozen=True)
class DataFile:
    """The rows of a source.

    Attributes:
        name: of the source, as messages say it; on the hub with its commit.
        rows: the usable rows, in order.
        format: what was recognised, such as `alpaca: instruction, input, output`.
        count: rows of the source, usable or not.
        skipped: rows left out, by reason.
        skip_invalid: whether rows that cannot be used are left out.
        path: of the source; None on the hub.
    """

    name: str
    rows: list[DataRow]
    format: str
    count: int
    skipped: Counter[str]
    skip_invalid: bool = False
    path: Path | None = None

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 (hex, 16 digits) of what the rows say, whatever format they came in."""
        digest = hashlib.sha256()
        for row in self.rows:
            content = [row.prompt, row.answer, row.chosen, row.rejected, row.ranked, row.label]
            digest.update(json.dumps(content, sort_keys=True).encode() + b"\n")
            if row.choices:
                digest.update(json.dumps([row.choices, row.right]).encode() + b"\n")
            if row.tools:
                digest.update(json.dumps(row.tools, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()[:16]

    def converted(self, purpose: Purpose, convert: Callable[[DataRow], T]) -> list[T]:
        """Return what a command makes of each row; rows it cannot use are errors, or skipped.

        Args:
            purpose: what the rows are for; it refuses some kinds of them by name.
            convert: raises BadRowError for a row that it cannot use.

        Raises:
            ConfigError: a row cannot be used, or none is left.
        """
        made: list[T] = []
        for row in self.rows:
            try:
                purpose.check(row)
                made.append(convert(row))
            except BadRowError as error:
                if not self.skip_invalid:
                    raise
                self.skipped[error.reason] += 1
        if self.skipped:
            log.warning("%s: left out %s", self.name, counted(self.skipped))
        if not made:
            raise ConfigError(
                f"{self.name}: holds no {purpose.row}"
                + (f" that can be used (left out: {counted(self.skipped)})" if self.skipped else "")
                + f"; {purpose.advice}"
            )
        return made


def counted(skipped: Mapping[str, int]) -> str:
    """Return counts by reason as a text, the largest first."""
    order = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    return f"{amount(sum(skipped.values()), 'row')}: " + ", ".join(
        f"{count:,} {reason}" for reason, count in order
    )


def read_data(
    source: str | os.PathLike[str],
    *,
    option: str,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    skip_invalid: bool = False,
) -> DataFile:
    """Read a file in any known format, a folder of data files, or a data set on the hub.

    Args:
        source: JSON lines, a JSON array, Parquet, Arrow, CSV, TSV or text, also compressed; a
            folder of `save_to_disk` or of data files; or `OWNER/NAME[:CONFIG][@REVISION][#SPLIT]`.
        option: the option that named it, for messages.
        format: of all rows; None: recognised from each row's columns.
        columns: our names of columns, and the file's; an empty name leaves a column out.
        skip_invalid: leave out rows that cannot be used, and count them.

    Raises:
        ConfigError: there is none, or a row cannot be used. Names the place and what to do.
    """
    return read_source(find_source(source, option), ReadAs(format, columns or {}, skip_invalid))


def read_source(source: Source, reading: ReadAs = AS_IT_IS) -> DataFile:
    """Read rows from where they are, like `read_data`.

    Raises:
        ConfigError: a row cannot be used.
    """
    known = format_of(reading.format) if reading.format else None
    recogniser = Recogniser(known, {ours: name.lower() for ours, name in reading.columns.items()})
    rows: list[DataRow] = []
    skipped: Counter[str] = Counter()
    columns: set[str] = set()
    count = 0
    for raw in source.rows():
        count += 1
        try:
            if reading.columns and isinstance(raw.value, dict):
                columns |= {name.strip().lower() for name in raw.value}
            rows += recogniser.rows(raw)
        except BadRowError as error:
            if not reading.skip_invalid:
                raise
            skipped[error.reason] += 1
    _refuse_unknown_columns(reading, columns, source.name)
    if count:
        log.log(
            logging.DEBUG if _is_shipped(source) else logging.INFO,
            "%s: read %s as %s",
            source.name,
            amount(count, "row"),
            recogniser.said(),
        )
    return DataFile(
        source.name, rows, recogniser.said(), count, skipped, reading.skip_invalid, source.path
    )


def _is_shipped(source: Source) -> bool:
    """Whether a file comes with the project, so that nobody needs to hear of it."""
    return source.path is not None and source.path == shipped_file(source.path.name)


def _refuse_unknown_columns(reading: ReadAs, columns: set[str], name: str) -> None:
    """Refuse `--columns` that no row has.

    Raises:
        ConfigError: names it, and those that there are.
    """
    for ours, theirs in reading.columns.items():
        if theirs and columns and theirs.lower() not in columns:
            raise ConfigError(
                f"--columns {ours}={theirs}: {name} has no such column; it has "
                f"{', '.join(sorted(columns))}"
            )


def parse_columns(text: str | None) -> dict[str, str]:
    """Return the columns that `--columns` names: ours, and those of the file.

    Raises:
        ConfigError: it is no list of pairs.
    """
    columns: dict[str, str] = {}
    for pair in (text or "").split(","):
        ours, mark, theirs = (part.strip() for part in pair.partition("="))
        if not pair.strip() and not columns:
            continue
        if not mark or not ours:
            raise ConfigError(
                f"--columns {text}: give OURS=THEIRS pairs, such as instruction=query,output=reply"
            )
        columns[ours.lower()] = theirs
    return columns
