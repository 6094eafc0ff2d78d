"""Whether an export may replace the file that is there: only what an export wrote.

Each export adds a line to `.selfinstruct-exports.jsonl` beside its file: the file's name, the
digest of its content, the run, the rows and the time. A file that has the digest of such a line may
be replaced, so that the same export can be made every day. A file of an earlier version of the
program has no line: it may be replaced if the run still has each of its rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.jsonlines import append_line, parse_lines
from selfinstruct.dataset.formats import COLUMNS, Format
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.store import Run

RECORD = ".selfinstruct-exports.jsonl"


@dataclass(frozen=True, slots=True)
class Written:
    """A line of the record: an export, and what it wrote."""

    file: str
    sha256: str
    run: str
    rows: int
    at: str

    def __str__(self) -> str:
        return f"{self.rows} rows of {self.run}, exported {self.at}"


def check_suffix(out: Path, format: Format) -> None:
    """Refuse a name that says that the file has another format; a name without an ending says none.

    Raises:
        ConfigError: names the endings of the format.
    """
    endings = format.endings
    if out.suffix and out.suffix.lower() not in endings:
        raise ConfigError(
            f"{out}: {format} is no {out.suffix} file; give a name that ends in "
            f"{' or '.join(endings)}"
        )


def replaced(run: Run, out: Path, *, force: bool) -> str | None:
    """Return what an export to this file will replace, in words; None: there is no file.

    Args:
        run: the run to export.
        out: the file.
        force: replace whatever is there.

    Raises:
        ConfigError: no export wrote the file, or somebody has changed it since.
    """
    if not out.is_file():
        return None
    try:
        content = out.read_bytes()
    except OSError as error:
        raise ConfigError(f"{out}: cannot be read ({why(error)}); check --out") from error
    known = {one.sha256: one for one in _read(out) if one.file == out.name}
    own = known.get(_digest(content))
    if own is not None:
        return str(own)
    if not known and (not content or _all_rows_are_known(run, content)):
        return "an earlier export"
    what = "was changed since it was exported" if known else "is there, and no export wrote it"
    if not force:
        raise ConfigError(f"{out}: {what}; give another --out, or --force to replace it")
    return f"{len(content):,} bytes; it {what}"


def record(run: Run, out: Path, digest: str, rows: int) -> None:
    """Remember that an export writes this file: before it does, so that no file lacks its line.

    Args:
        run: the run.
        out: the file.
        digest: SHA-256 of the file's content, in hex.
        rows: how many the file has.

    Raises:
        WriteError: the disk refuses.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    line = Written(out.name, digest, run.name, rows, now)
    same = [one for one in _read(out) if (one.file, one.sha256) == (line.file, line.sha256)]
    if not same:
        append_line(out.parent / RECORD, asdict(line))


def _read(out: Path) -> list[Written]:
    lines, _ = parse_lines(out.parent / RECORD, lambda line: Written(**line), "export")
    return lines


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _all_rows_are_known(run: Run, content: bytes) -> bool:
    """Whether the run has every row of a file: nothing is lost with it."""
    if content.startswith(b"PAR1"):
        return _is_table_of_ours(content)
    lines = set(content.splitlines(keepends=True))
    return any(lines <= written for written in _lines_of(run))


def _is_table_of_ours(content: bytes) -> bool:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(io.BytesIO(content)).names
    except pa.ArrowException:
        return False
    return bool(names[: len(COLUMNS)] == COLUMNS)


def _lines_of(run: Run) -> Iterator[set[bytes]]:
    """Yield the lines that each kind of export of a run has now."""
    prompts = stored_inputs(run).prompts
    for answers in Answers:
        rows = list(export_rows(run, answers))
        for format in Format:
            if format.suffix == "jsonl":
                content = b"".join(format.content(rows, prompts, False))
                yield set(content.splitlines(keepends=True))
