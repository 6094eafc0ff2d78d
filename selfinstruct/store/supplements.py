"""Supplements of a run: instances of instructions that lacked them, read back and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfinstruct.common.errors import StoreError
from selfinstruct.common.records import InstanceCandidate, InstructionCandidate
from selfinstruct.filters.outcomes import PENDING_INSTANCES
from selfinstruct.store.commits import SUPPLEMENTS, Commit
from selfinstruct.store.run import Run


@dataclass(frozen=True)
class Completed:
    """The completed instructions of a run by id, and the instances of each.

    An instruction that was no longer pending when it was judged again keeps its earlier verdict,
    and its instances were rejected with it.
    """

    instructions: Mapping[str, InstructionCandidate] = field(default_factory=dict)
    instances: Mapping[str, Sequence[InstanceCandidate]] = field(default_factory=dict)


def read_supplements(run: Run) -> list[Commit]:
    """Return all supplements of a run, in order.

    Raises:
        StoreError: a file is not what was committed.
    """
    return list(each_supplement(run))


def each_supplement(run: Run, *, completions: bool = True) -> Iterator[Commit]:
    """Yield the supplements of a run, in order; each is read when its turn comes.

    Args:
        run: the run.
        completions: read them too; they are most of a supplement.

    Raises:
        StoreError: a file is not what was committed.
    """
    for number, info in _checked_supplements(run):
        yield Commit(
            SUPPLEMENTS.read_completions(run, number) if completions else (),
            SUPPLEMENTS.read_instructions(run, number),
            SUPPLEMENTS.read_instances(run, number),
            info,
        )


def read_completed(run: Run) -> Completed:
    """Return the completed instructions of a run; reads no completion.

    Raises:
        StoreError: a supplement is not what was committed.
    """
    instructions: dict[str, InstructionCandidate] = {}
    instances: dict[str, list[InstanceCandidate]] = {}
    for number, _ in _checked_supplements(run):
        for row in SUPPLEMENTS.read_instructions(run, number):
            instructions[row.id] = row
        for instance in SUPPLEMENTS.read_instances(run, number):
            instances.setdefault(instance.instruction_id, []).append(instance)
    return Completed(instructions, instances)


def in_place(
    recorded: InstructionCandidate, completed: InstructionCandidate | None
) -> InstructionCandidate:
    """Return the row that counts: a supplement's, if the round's row is pending.

    Args:
        recorded: the instruction's row in its round.
        completed: its row in the last supplement that has one.
    """
    if completed is None or recorded.reason != PENDING_INSTANCES.reason:
        return recorded
    return completed


def _checked_supplements(run: Run) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and info of each supplement, once the checksums of all of them are right."""
    SUPPLEMENTS.verify(run)
    for number in SUPPLEMENTS.numbers(run):
        info = SUPPLEMENTS.info(run, number)
        if not 0 <= info["last_round"] < len(run.rounds()):
            raise StoreError(
                f"{SUPPLEMENTS.path(run, number)}: was written when the run had a round "
                f"{info['last_round']}, which is missing; restore the rounds from a backup, or "
                "move the supplement away"
            )
        yield number, info
