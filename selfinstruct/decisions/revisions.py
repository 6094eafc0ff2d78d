"""The revisions of a run as they stand: the last accepted one of each output.

A revision stands while its task does, unchanged. A revision of the run's own output stands while
that output does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from selfinstruct.common.records import ACCEPTED, InstanceCandidate, InstructionCandidate
from selfinstruct.common.revisions import Revision
from selfinstruct.decisions.standing import PENDING, Standing
from selfinstruct.store import Run
from selfinstruct.store.commits import REVISED
from selfinstruct.store.revisions import read_revision_commits

_Key = tuple[str, str | None, str, str]


@dataclass(frozen=True, slots=True)
class StandingRevision:
    """A revision that stands: its row, and the draft that it began with."""

    row: Revision
    draft: Revision


@dataclass(frozen=True)
class Revisions:
    """The last accepted revisions of a run, by task and instance; the newest series counts."""

    written: dict[_Key, StandingRevision] = field(default_factory=dict)
    given: dict[tuple[_Key, str], StandingRevision] = field(default_factory=dict)

    def of(
        self, task: InstructionCandidate, instance: InstanceCandidate | None
    ) -> StandingRevision | None:
        """Return the revision of an output, or of a task that has none; None if there is none."""
        if instance is None:
            return self.written.get((task.id, None, task.text, ""))
        key = (task.id, instance.id, task.text, instance.input)
        return self.given.get((key, instance.output)) or self.written.get(key)


def read_standing_revisions(run: Run) -> Revisions:
    """Return the revisions that may stand for outputs of a run.

    Raises:
        StoreError: a file is not what was committed.
    """
    REVISED.verify(run)
    revisions = Revisions()
    for commit in read_revision_commits(run):
        is_written = bool(commit.info["settings"]["draft"])
        for draft, *steps in commit.series():
            accepted = [row for row in steps if row.verdict == ACCEPTED]
            if not accepted:
                continue
            key = (draft.instruction_id, draft.instance_id, draft.instruction, draft.input)
            revised = StandingRevision(accepted[-1], draft)
            if is_written:
                revisions.written[key] = revised
            else:
                revisions.given[key, draft.text] = revised
    return revisions


def revisable(standing: Standing) -> Iterator[InstanceCandidate | None]:
    """Yield the outputs of a task as it stands; None for a task that waits for its first one."""
    if standing.outcome == PENDING:
        yield None
    elif standing.outcome == ACCEPTED:
        yield from standing.instances
