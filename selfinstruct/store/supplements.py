"""Instances that were written later, for instructions that lacked them (`complete`).

supplements/00000/
completions.parquet   every request and completion
instructions.parquet  the instructions as they stand now: accepted, or no_instances
instances.parquet     their instances, judged
supplements.json      rounds that the run had then, counts, tokens, seconds, checksums

Rounds are never rewritten: a row here stands in the place of the row of that id there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfinstruct.records import Completion, InstanceCandidate, InstructionCandidate, id_order
from selfinstruct.store import schema
from selfinstruct.store.batches import (
    batch_info,
    batch_numbers,
    batch_path,
    commit_batch,
    next_number,
    verify_batches,
)
from selfinstruct.store.run import Run, damage

KIND = "supplements"


@dataclass(frozen=True)
class Supplement:
    """One commit of completed instructions; `info` is what supplements.json says."""

    completions: Sequence[Completion]
    instructions: Sequence[InstructionCandidate]
    instances: Sequence[InstanceCandidate]
    info: Mapping[str, Any]


@dataclass(frozen=True)
class Completed:
    """What was completed of a run: instructions by id, and the instances of each."""

    instructions: Mapping[str, InstructionCandidate] = field(default_factory=dict)
    instances: Mapping[str, Sequence[InstanceCandidate]] = field(default_factory=dict)


def commit_supplement(run: Run, supplement: Supplement) -> None:
    """Write a supplement; once this returns it is on disk for good.

    Raises:
        WriteError: the disk refuses.
    """

    def write(folder: Path) -> None:
        schema.write_completions(folder / "completions.parquet", supplement.completions)
        schema.write_instructions(folder / "instructions.parquet", supplement.instructions)
        schema.write_instances(folder / "instances.parquet", supplement.instances)

    commit_batch(run, KIND, next_number(run, KIND), write, supplement.info)


def read_supplements(run: Run) -> list[Supplement]:
    """Return all supplements of a run, in order.

    Raises:
        StoreError: one is not what was committed.
    """
    verify_batches(run, KIND)
    found = []
    for number in batch_numbers(run, KIND):
        path = batch_path(run, KIND, number)
        info = batch_info(run, KIND, number, {"rounds": int, "instructions": dict})
        with damage(path):
            found.append(
                Supplement(
                    schema.read_completions(path / "completions.parquet"),
                    schema.read_instructions(path / "instructions.parquet"),
                    schema.read_instances(path / "instances.parquet"),
                    info,
                )
            )
    return found


def read_completed(run: Run) -> Completed:
    """Return what was completed of a run.

    Raises:
        StoreError: a supplement is not what was committed.
    """
    instructions: dict[str, InstructionCandidate] = {}
    instances: dict[str, list[InstanceCandidate]] = {}
    for supplement in read_supplements(run):
        for row in supplement.instructions:
            instructions[row.id] = row
            instances[row.id] = [i for i in supplement.instances if i.instruction_id == row.id]
    return Completed(instructions, instances)


def current_round(
    run: Run, number: int, completed: Completed
) -> tuple[list[InstructionCandidate], list[InstanceCandidate]]:
    """Return the rows of a round as they stand now: what was completed since is in place."""
    recorded = run.instructions(number)
    instructions = [completed.instructions.get(row.id, row) for row in recorded]
    added = [i for row in recorded for i in completed.instances.get(row.id, ())]
    instances = run.instances(number)
    if added:
        instances = sorted([*instances, *added], key=lambda row: id_order(row.id))
    return instructions, instances
