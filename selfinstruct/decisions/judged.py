"""The candidates of a run as its rules judged them, with what was completed since in place.

Nothing that people decided is applied here (`view.py` does that).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from selfinstruct.common import ids
from selfinstruct.common.records import ACCEPTED, InstanceCandidate, InstructionCandidate
from selfinstruct.store import Run
from selfinstruct.store.supplements import Completed, in_place, read_completed


@dataclass(frozen=True, slots=True)
class Judged:
    """An instruction and its instances, as the rules judged them.

    recorded: its row in its round. instruction: the same, or, of a pending instruction that was
        completed, its row in the supplement.
    instances: those of its round and those that were written later, in order.
    """

    recorded: InstructionCandidate
    instruction: InstructionCandidate
    instances: list[InstanceCandidate]

    def accepted(self) -> list[InstanceCandidate]:
        """Return the instances that the rules accepted, of an instruction that they accepted."""
        if self.instruction.verdict != ACCEPTED:
            return []
        return [instance for instance in self.instances if instance.verdict == ACCEPTED]


@dataclass(frozen=True)
class JudgedRun:
    """A run and what was completed of it, read once."""

    run: Run
    completed: Completed

    def rounds(self) -> Iterator[Judged]:
        """Yield all instructions, in order; a round is read when its turn comes.

        Raises:
            StoreError: a file of the run is damaged.
        """
        for number in self.run.rounds():
            yield from self.round(number)

    def round(self, number: int, ids: Collection[str] | None = None) -> Iterator[Judged]:
        """Yield the instructions of a round, in order: those with these ids, or all.

        Raises:
            StoreError: a file of the round is damaged.
        """
        by_instruction: dict[str, list[InstanceCandidate]] = {}
        for instance in self.run.instances(number, ids):
            by_instruction.setdefault(instance.instruction_id, []).append(instance)
        for recorded in self.run.instructions(number, ids):
            instruction = in_place(recorded, self.completed.instructions.get(recorded.id))
            instances = by_instruction.get(recorded.id, [])
            yield Judged(recorded, instruction, self._with_later(recorded.id, instances))

    def replaced(self) -> Iterator[InstructionCandidate]:
        """Yield the rows of supplements that stand in the place of rows of the rounds.

        Raises:
            StoreError: a file of the run is damaged.
        """
        for number, chosen in by_round(self.run, self.completed.instructions).items():
            for recorded in self.run.instructions(number, chosen):
                instruction = in_place(recorded, self.completed.instructions[recorded.id])
                if instruction is not recorded:
                    yield instruction

    def is_classification(self, instruction: InstructionCandidate) -> bool | None:
        """Return what the model called an instruction, in its round or when it was completed."""
        completed = self.completed.instructions.get(instruction.id)
        if instruction.is_classification is None and completed is not None:
            return completed.is_classification
        return instruction.is_classification

    def _with_later(self, id: str, instances: list[InstanceCandidate]) -> list[InstanceCandidate]:
        later = self.completed.instances.get(id)
        if not later:
            return instances
        return sorted([*instances, *later], key=lambda row: ids.order(row.id))


def read_judged(run: Run) -> JudgedRun:
    """Read what was completed of a run; its rounds are read when they are asked for.

    Raises:
        StoreError: a supplement is not what was committed.
    """
    return JudgedRun(run, read_completed(run))


def by_round(run: Run, candidate_ids: Collection[str]) -> dict[int, set[str]]:
    """Return the instructions that ids name, or that their instances belong to, by round."""
    rounds = set(run.rounds()) if candidate_ids else set()
    instruction_ids: dict[int, set[str]] = {}
    for id in candidate_ids:
        if ids.is_candidate(id) and (number := ids.order(id)[0]) in rounds:
            instruction_ids.setdefault(number, set()).add(ids.instruction_of(id))
    return dict(sorted(instruction_ids.items()))
