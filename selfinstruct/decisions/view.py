"""A run as it stands: rounds, supplements and people's decisions together, read once.

This is the one definition. Exports, training, preferences, `complete`, the audit, the web pages
and every count (counts.py) go through it. It has two steps:

- *judged*: each candidate as the rules judged it. A pending instruction that `complete` has
  written instances for has the verdict that it got then.
- *standing*: the same with people's decisions applied (standing.py). This is the dataset now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from selfinstruct.common import ids
from selfinstruct.common.records import ACCEPTED, InstanceCandidate, InstructionCandidate
from selfinstruct.decisions.overrides import Overrides, read_overrides
from selfinstruct.decisions.standing import Standing, stand
from selfinstruct.store import Run
from selfinstruct.store.supplements import Completed, in_place, read_completed


@dataclass(frozen=True, slots=True)
class Judged:
    """An instruction and its instances, as the rules judged them.

    recorded: its row in its round. instruction: the same row, or the supplement's row of a pending
        instruction that was completed.
    instances: those of its round and of supplements, in order.
    """

    recorded: InstructionCandidate
    instruction: InstructionCandidate
    instances: list[InstanceCandidate]

    def accepted(self) -> list[InstanceCandidate]:
        """Return the accepted instances, if the instruction itself was accepted."""
        if self.instruction.verdict != ACCEPTED:
            return []
        return [instance for instance in self.instances if instance.verdict == ACCEPTED]


@dataclass(frozen=True)
class JudgedRun:
    """A run and its completed instructions, read once."""

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
        """Yield the rows of supplements that replace rows of the rounds.

        Raises:
            StoreError: a file of the run is damaged.
        """
        for number, chosen in by_round(self.run, self.completed.instructions).items():
            for recorded in self.run.instructions(number, chosen):
                instruction = in_place(recorded, self.completed.instructions[recorded.id])
                if instruction is not recorded:
                    yield instruction

    def is_classification(self, instruction: InstructionCandidate) -> bool | None:
        """Return the model's classification of an instruction, from its round or its completion."""
        completed = self.completed.instructions.get(instruction.id)
        if instruction.is_classification is None and completed is not None:
            return completed.is_classification
        return instruction.is_classification

    def _with_later(self, id: str, instances: list[InstanceCandidate]) -> list[InstanceCandidate]:
        later = self.completed.instances.get(id)
        if not later:
            return instances
        return sorted([*instances, *later], key=lambda row: ids.order(row.id))


@dataclass(frozen=True)
class View:
    """A run as it stands."""

    judged: JudgedRun
    overrides: Overrides

    @property
    def run(self) -> Run:
        return self.judged.run

    def standings(self) -> Iterator[Standing]:
        """Yield how each instruction stands, in order; a round is read when its turn comes.

        Raises:
            StoreError: a file of the run is damaged.
        """
        return map(self.standing, self.judged.rounds())

    def standing(self, judged: Judged) -> Standing:
        """Return how an instruction stands."""
        standing = stand(judged.instruction, judged.instances, self.overrides.current)
        label = self.judged.is_classification(judged.instruction)
        if label is standing.instruction.is_classification:
            return standing
        return replace(standing, instruction=replace(standing.instruction, is_classification=label))

    def touched(self) -> dict[int, set[str]]:
        """Return the instructions that supplements or decisions are about, by round."""
        named = {*self.judged.completed.instructions, *self.overrides.current}
        return by_round(self.run, named)


def read_view(run: Run) -> View:
    """Read a run's supplements and decisions; its rounds are read as they are needed.

    Raises:
        StoreError: a supplement is not what was committed, or overrides.jsonl cannot be read.
    """
    return View(read_judged(run), read_overrides(run))


def read_judged(run: Run) -> JudgedRun:
    """Read a run's supplements; its rounds are read as they are needed.

    Raises:
        StoreError: a supplement is not what was committed.
    """
    return JudgedRun(run, read_completed(run))


def by_round(run: Run, candidate_ids: Collection[str]) -> dict[int, set[str]]:
    """Return the instructions of candidate ids, by round: of an instance's id, its instruction."""
    rounds = set(run.rounds()) if candidate_ids else set()
    instruction_ids: dict[int, set[str]] = {}
    for id in candidate_ids:
        if ids.is_candidate(id) and (number := ids.order(id)[0]) in rounds:
            instruction_ids.setdefault(number, set()).add(ids.instruction_of(id))
    return dict(sorted(instruction_ids.items()))
