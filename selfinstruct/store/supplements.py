"""Instances that were written later, for instructions that lacked them (`complete`).

supplements/00000/
completions.parquet   every request and completion
instructions.parquet  the instructions as they stand now: accepted, or no_instances
instances.parquet     their instances, with verdicts
supplements.json      last round that the model had written, restored instructions, counts, tokens,
                      seconds, checksums

Rounds are never rewritten: a row here replaces the pending row with the same id in its round
(`in_place`). If a person restored the instruction, the row in its round stays, and only code that
applies the overrides uses the instances from here (`decisions/view.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import StoreError
from selfinstruct.common.records import Completion, InstanceCandidate, InstructionCandidate
from selfinstruct.filters.outcomes import PENDING_INSTANCES
from selfinstruct.store import schema
from selfinstruct.store.batches import (
    batch_info,
    batch_numbers,
    batch_path,
    commit_batch,
    next_number,
    verify_batches,
)
from selfinstruct.store.layout import SUPPLEMENTS
from selfinstruct.store.run import Run, damage


@dataclass(frozen=True)
class Supplement:
    """One commit of completed instructions; `info` is the content of supplements.json."""

    completions: Sequence[Completion]
    instructions: Sequence[InstructionCandidate]
    instances: Sequence[InstanceCandidate]
    info: Mapping[str, Any]

    @property
    def restored(self) -> dict[str, str]:
        """Instructions that a person restored, by id, with the text that the instances are for.

        Supplements that are older than overrides have none.
        """
        return dict(self.info.get("restored", {}))


@dataclass(frozen=True)
class Completed:
    """The completed instructions of a run by id, and the instances of each.

    An instruction that was no longer pending when it was judged again keeps its earlier verdict,
    and its instances were rejected with it.
    """

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

    commit_batch(run, SUPPLEMENTS, next_number(run, SUPPLEMENTS), write, supplement.info)


def read_supplements(run: Run) -> list[Supplement]:
    """Return all supplements of a run, in order.

    Raises:
        StoreError: a file is not what was committed.
    """
    supplements = []
    for path, info in _verified(run):
        with damage(path):
            supplements.append(
                Supplement(
                    schema.read_completions(path / "completions.parquet", run.markers),
                    schema.read_instructions(path / "instructions.parquet"),
                    schema.read_instances(path / "instances.parquet"),
                    info,
                )
            )
    return supplements


def read_completed(run: Run) -> Completed:
    """Return what was completed of a run; reads no completion.

    Raises:
        StoreError: a supplement is not what was committed.
    """
    instructions: dict[str, InstructionCandidate] = {}
    instances: dict[str, list[InstanceCandidate]] = {}
    for path, _ in _verified(run):
        with damage(path):
            for row in schema.read_instructions(path / "instructions.parquet"):
                instructions[row.id] = row
            for instance in schema.read_instances(path / "instances.parquet"):
                instances.setdefault(instance.instruction_id, []).append(instance)
    return Completed(instructions, instances)


def in_place(
    recorded: InstructionCandidate, completed: InstructionCandidate | None
) -> InstructionCandidate:
    """Return the row that counts of an instruction: a supplement's, where its round has it pending.

    Args:
        recorded: its row in its round.
        completed: its row in the last supplement that has one.
    """
    if completed is None or recorded.reason != PENDING_INSTANCES.reason:
        return recorded
    return completed


def _verified(run: Run) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield folder and info of each supplement, once the checksums of all of them are right."""
    verify_batches(run, SUPPLEMENTS)
    for number in batch_numbers(run, SUPPLEMENTS):
        path = batch_path(run, SUPPLEMENTS, number)
        info = batch_info(run, SUPPLEMENTS, number, {"last_round": int, "instructions": dict})
        if not 0 <= info["last_round"] < len(run.rounds()):
            raise StoreError(
                f"{path}: was written when the run had a round {info['last_round']}, which is "
                "missing; restore the rounds from a backup, or move the supplement away"
            )
        yield path, info
