"""Find candidates of a run by their ids, in the one round that an id names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import InstanceCandidate, InstructionCandidate
from selfinstruct.store import Run
from selfinstruct.store.supplements import Completed, current_round, read_completed


@dataclass(frozen=True)
class Found:
    """An instruction and its instances, what was completed in place; `instance` if asked for."""

    instruction: InstructionCandidate
    instances: list[InstanceCandidate]
    instance: InstanceCandidate | None = None

    @property
    def row(self) -> InstructionCandidate | InstanceCandidate:
        """The candidate that was asked for."""
        return self.instance or self.instruction


def find(run: Run, id: str) -> Found:
    """Return one candidate with what belongs to it.

    Raises:
        ConfigError: the run has none of this id; names the nearest.
        StoreError: a file of the run is damaged.
    """
    found = find_all(run, [id])
    if id not in found:
        raise ConfigError(f"{id}: {run.path} has no such candidate; {_hint(run, id)}")
    return found[id]


def find_all(run: Run, names: Iterable[str]) -> dict[str, Found]:
    """Return those of the candidates that the run has, by id; each round is read once.

    Raises:
        StoreError: a file of the run is damaged.
    """
    wanted: dict[int, list[str]] = {}
    for id in names:
        if ids.is_candidate(id):
            wanted.setdefault(ids.order(id)[0], []).append(id)
    rounds = {number for number in run.rounds() if number in wanted}
    completed = read_completed(run) if rounds else Completed()
    found: dict[str, Found] = {}
    for number in sorted(rounds):
        found |= _in_round(run, number, completed, wanted[number])
    return found


def _in_round(
    run: Run, number: int, completed: Completed, wanted: Iterable[str]
) -> Mapping[str, Found]:
    instructions, instances = current_round(run, number, completed)
    tasks = {row.id: row for row in instructions}
    examples: dict[str, list[InstanceCandidate]] = {}
    for row in instances:
        examples.setdefault(row.instruction_id, []).append(row)
    found = {}
    for id in wanted:
        task_id = ids.instruction_of(id)
        own = examples.get(task_id, [])
        instance = next((row for row in own if row.id == id), None)
        if task_id in tasks and (id == task_id or instance is not None):
            found[id] = Found(tasks[task_id], own, instance)
    return found


def _hint(run: Run, id: str) -> str:
    """Return what to do about an id that there is not."""
    rounds = run.rounds()
    if not rounds:
        return "it has no rounds yet"
    numbers = ids.order(id)
    number = min(numbers[0], rounds[-1]) if numbers else rounds[0]
    known = [row.id for row in run.instructions(number)]
    known += [row.id for row in run.instances(number)]
    near = difflib.get_close_matches(id, known, n=1, cutoff=0)
    return f"the nearest is {near[0]}" if near else f"list them: selfinstruct audit list {run.path}"
