"""People's decisions about candidates, after the run's own verdicts: restore, drop, edit, undo.

`overrides.jsonl` has one decision per line and only grows. The last decision about an id wins;
after `undo`, the one before it counts again. Decisions apply to a run as it stands (standing.py,
view.py); pool, novelty, replay and resume ignore them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import StoreError
from selfinstruct.common.jsonlines import DamagedLine, append_line, parse_lines
from selfinstruct.store import Run
from selfinstruct.store.layout import OVERRIDES

log = logging.getLogger(__name__)

# Damages that this process has told.
_told: set[str] = set()


class Action(StrEnum):
    """What was decided."""

    RESTORE = "restore"
    DROP = "drop"
    EDIT = "edit"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Override:
    """A line of overrides.jsonl.

    text, input, output: a person's texts (edit); None keeps the model's. An `output` (with
        `input`) of an instruction replaces its instances.
    by: the author. at: time in UTC, as `2025-01-31T12:00:00Z`. note: the author's reason.
    """

    id: str
    action: Action
    by: str
    at: str
    note: str = ""
    text: str | None = None
    input: str | None = None
    output: str | None = None


@dataclass(frozen=True)
class Overrides:
    """All decisions about a run; `current` has the one that counts now, by id."""

    entries: Sequence[Override]
    current: Mapping[str, Override]
    damaged: Sequence[DamagedLine]


def overrides_path(run: Run) -> Path:
    return run.path / OVERRIDES


def read_overrides(run: Run) -> Overrides:
    """Return the decisions about a run; a line that cannot be read is reported and skipped.

    Raises:
        StoreError: the file is there but cannot be read.
    """
    entries, damaged = parse_lines(overrides_path(run), _parse, "override")
    for line in map(str, damaged):
        if line not in _told:
            _told.add(line)
            log.warning("%s", line)
    return Overrides(entries, fold(entries), damaged)


def refuse_damaged(run: Run, instead: str = "repair it") -> None:
    """Refuse a run of which decisions are lost or cannot be read.

    Args:
        run: the run.
        instead: what to do, for the message.

    Raises:
        StoreError: it is so; names file and line.
    """
    damaged = read_overrides(run).damaged
    if damaged:
        raise StoreError(f"{damaged[0]}. So the rows may not be what was decided: {instead}")


def append_override(run: Run, entry: Override) -> None:
    """Write a decision; once this returns it is on disk for good.

    Raises:
        WriteError: the disk refuses.
    """
    line = {name: value for name, value in asdict(entry).items() if value is not None}
    append_line(overrides_path(run), line, summed=True)


def fold(entries: Sequence[Override]) -> dict[str, Override]:
    """Return the decision that counts for each id: the last one that was not undone."""
    standing: dict[str, list[Override]] = {}
    for entry in entries:
        decisions = standing.setdefault(entry.id, [])
        if entry.action is not Action.UNDO:
            decisions.append(entry)
        elif decisions:
            decisions.pop()
    return {id: decisions[-1] for id, decisions in standing.items() if decisions}


def _parse(line: dict[str, Any]) -> Override:
    known = {field.name for field in fields(Override)}
    values = {name: value for name, value in line.items() if name in known}
    for name, value in values.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} is no text")
    return Override(**{**values, "action": Action(values["action"])})
