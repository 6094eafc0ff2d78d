"""Find candidates of a run by their ids, in the one round that an id names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import InstanceCandidate, InstructionCandidate
from selfinstruct.decisions.overrides import Overrides
from selfinstruct.decisions.standing import instance_outcome, stand
from selfinstruct.decisions.view import by_round, read_judged
from selfinstruct.store import Run


@dataclass(frozen=True)
class Candidate:
    """An instruction with its instances, as judged; `instance` is set if it is the candidate."""

    instruction: InstructionCandidate
    instances: list[InstanceCandidate]
    instance: InstanceCandidate | None = None

    @property
    def row(self) -> InstructionCandidate | InstanceCandidate:
        """The candidate that was asked for."""
        return self.instance or self.instruction


def find(run: Run, id: str) -> Candidate:
    """Return one candidate with its instruction and instances.

    Raises:
        ConfigError: the run has none of this id; names the nearest.
        StoreError: a file of the run is damaged.
    """
    candidates = find_all(run, [id])
    if id not in candidates:
        raise ConfigError(f"{id}: {run.path} has no such candidate; {_hint(run, id)}")
    return candidates[id]


def find_all(run: Run, names: Iterable[str]) -> dict[str, Candidate]:
    """Return the candidates that the run has, by id; each of their rounds is read once.

    Raises:
        StoreError: a file of the run is damaged.
    """
    asked = {id for id in names if ids.is_candidate(id)}
    rounds = by_round(run, asked)
    if not rounds:
        return {}
    judged_run = read_judged(run)
    candidates: dict[str, Candidate] = {}
    for number, instruction_ids in rounds.items():
        for judged in judged_run.round(number, instruction_ids):
            task, instances = judged.instruction, judged.instances
            if task.id in asked:
                candidates[task.id] = Candidate(task, instances)
            for instance in instances:
                if instance.id in asked:
                    candidates[instance.id] = Candidate(task, instances, instance)
    return candidates


def outcome_of(candidate: Candidate, overrides: Overrides) -> str:
    """Return the outcome of a candidate, with people's decisions applied.

    It is `accepted`, `pending_instances`, `dropped`, or the reason of its rejection. An instance
    whose instruction is not kept has the instruction's outcome.
    """
    standing = stand(candidate.instruction, candidate.instances, overrides.current)
    if candidate.instance is None:
        return standing.outcome
    return instance_outcome(standing, candidate.instance, overrides.current)


def _hint(run: Run, id: str) -> str:
    """Return what to do about an unknown id."""
    rounds = run.rounds()
    if not rounds:
        return "it has no rounds yet"
    numbers = ids.order(id)
    number = min(numbers[0], rounds[-1]) if numbers else rounds[0]
    known = [row.id for row in run.instructions(number)]
    known += [row.id for row in run.instances(number)]
    near = difflib.get_close_matches(id, known, n=1, cutoff=0)
    return f"the nearest is {near[0]}" if near else f"list them: selfinstruct audit list {run.path}"
