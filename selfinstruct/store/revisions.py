"""The commits of revisions of a run, read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import StoreError
from selfinstruct.common.revisions import Revision
from selfinstruct.common.versions import REVISIONS_VERSION
from selfinstruct.store.commits import REVISED
from selfinstruct.store.run import Run


@dataclass(frozen=True)
class RevisionCommit:
    """One commit of revisions as recorded; `info` is the content of its JSON."""

    number: int
    info: Mapping[str, Any]
    rows: Sequence[Revision]

    def series(self) -> list[list[Revision]]:
        """Return the rows of each series, the draft first, in order."""
        by_series: dict[str, list[Revision]] = {}
        for row in self.rows:
            by_series.setdefault(row.series_id, []).append(row)
        return list(by_series.values())


def read_revision_commits(run: Run) -> Iterator[RevisionCommit]:
    """Yield the commits of revisions, in order, without their completions.

    Raises:
        StoreError: a file is damaged, or newer than this code.
    """
    for number in REVISED.numbers(run):
        info = REVISED.info(run, number)
        if info["settings"].get("version", REVISIONS_VERSION) > REVISIONS_VERSION:
            raise StoreError(
                f"{REVISED.info_path(run, number)}: was judged by rules that are newer than this "
                "program knows; upgrade selfinstruct"
            )
        yield RevisionCommit(number, info, REVISED.read_revisions(run, number))
