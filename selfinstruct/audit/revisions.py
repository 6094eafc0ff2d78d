"""Look at revisions: count them, list them, and show a series with its task and its critiques."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfinstruct.audit.completions import Asked, asked_by_id
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.revisions import Revision
from selfinstruct.store import Run
from selfinstruct.store.commits import REVISED
from selfinstruct.store.layout import COMPLETIONS
from selfinstruct.store.revisions import read_revision_commits

REVISIONS = "revisions"


@dataclass(frozen=True)
class SeriesDetail:
    """One series: its rows, the draft first.

    model: that criticises and rewrites: name and digest.
    asked: the requests behind the row that was asked for.
    """

    rows: Sequence[Mapping[str, Any]]
    model: Mapping[str, Any]
    asked: Sequence[Asked]


def revision_rows(run: Run) -> Iterator[dict[str, Any]]:
    """Yield every draft and revision of a run, in the order in which they were written.

    Raises:
        StoreError: a file is damaged.
    """
    for commit in read_revision_commits(run):
        yield from map(asdict, commit.rows)


def count_revisions(run: Run) -> dict[str, int]:
    """Count the revisions of a run by verdict or reason; drafts are not counted."""
    counts: Counter[str] = Counter()
    for number in REVISED.numbers(run):
        counts.update(REVISED.info(run, number)["revisions"])
    return {outcome: count for outcome, count in counts.items() if count}


def show_series(run: Run, id: str) -> SeriesDetail:
    """Return everything about the series of a draft or revision, by its id.

    Raises:
        ConfigError: the run has none of this id.
        StoreError: a file of the run is damaged.
    """
    for commit in read_revision_commits(run):
        row = next((row for row in commit.rows if row.id == id), None)
        if row is not None:
            rows = [asdict(one) for one in commit.rows if one.series_id == row.series_id]
            return SeriesDetail(rows, commit.info["model"], _asked(run, commit.number, row))
    raise ConfigError(
        f"{run.path}: has no revision {id!r}; list them with: selfinstruct audit list {run.path} "
        "--stage revisions"
    )


def _asked(run: Run, number: int, row: Revision) -> list[Asked]:
    spans = {} if row.critique_id is None else {row.critique_id: (0, 0)}
    if row.completion_id is not None:
        spans[row.completion_id] = (row.char_start, row.char_end)
    return asked_by_id([REVISED.committed(run, number, COMPLETIONS)], spans) if spans else []
