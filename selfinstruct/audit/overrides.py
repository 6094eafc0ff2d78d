"""What a person decides about candidates after the run did: restore, drop, edit, undo.

`overrides.jsonl` holds one decision a line and only grows. The last decision about an id
wins; `undo` takes the last one back, and the one before it counts again. They apply to what
a run exports (standing.py); pool, novelty, replay and resume ignore them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from selfinstruct.store import Run
from selfinstruct.store.journal import DamagedLine

FILE = "overrides.jsonl"


class Action(StrEnum):
    """What was decided."""

    RESTORE = "restore"
    DROP = "drop"
    EDIT = "edit"
    UNDO = "undo"


@dataclass(frozen=True, slots=True)
class Override:
    """A line of overrides.jsonl.

    text, input, output: what a person wrote (edit); None leaves what the model wrote. On an
        instruction, `output` (with `input`) takes the place of its instances.
    by: who. at: when, UTC, as `2025-01-31T12:00:00Z`. note: why.
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
    """All decisions about a run; `current` has for each id the one that counts now."""

    entries: Sequence[Override]
    current: Mapping[str, Override]
    damaged: Sequence[DamagedLine]


def overrides_path(run: Run) -> Path:
    return run.path / FILE


def read_overrides(run: Run) -> Overrides:
    """Return the decisions about a run; a line that cannot be read is reported and skipped.

    Raises:
        StoreError: the file is there but cannot be read.
    """
    raise NotImplementedError


def fold(entries: Sequence[Override]) -> dict[str, Override]:
    """Return the decision that counts for each id: the last that no later undo took back."""
    raise NotImplementedError


def restore(run: Run, id: str, *, by: str, note: str = "") -> Override:
    """Take a rejected candidate into the dataset, as the model wrote it.

    Raises:
        ConfigError: no such candidate; it is in the dataset already; or it cannot be alone
            (an instruction none of whose instances passed, an instance of a rejected one).
        WriteError: the disk refuses.
    """
    raise NotImplementedError


def drop(run: Run, id: str, *, by: str, note: str = "") -> Override:
    """Keep a candidate out of the dataset.

    Raises:
        ConfigError: no such candidate, or it is not in the dataset.
        WriteError: the disk refuses.
    """
    raise NotImplementedError


def edit(
    run: Run,
    id: str,
    *,
    by: str,
    note: str = "",
    text: str | None = None,
    input: str | None = None,
    output: str | None = None,
) -> Override:
    """Put a person's words into the dataset, in the place of the model's, which are kept.

    What is edited is in the dataset, whatever its verdict. An edit adds to the edit before
    it. `text` is an instruction's; an `output` (and `input`) typed for an instruction takes
    the place of its instances, so that it waits for none.

    Raises:
        ConfigError: no such candidate, nothing to change, an empty text or output.
        WriteError: the disk refuses.
    """
    raise NotImplementedError


def undo(run: Run, id: str, *, by: str, note: str = "") -> Override:
    """Take back the last decision about a candidate.

    Raises:
        ConfigError: there is none to take back.
        WriteError: the disk refuses.
    """
    raise NotImplementedError
