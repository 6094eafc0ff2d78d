"""Answers of another model to the tasks of a run: commits beside the rounds.

answers/00000/
completions.parquet  every request and completion
instances.parquet    every answer as an instance; `answer_to` is the instance that it answers
answers.json         model, settings, counts by reason, tokens, seconds, checksums
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import StoreError
from selfinstruct.common.records import ACCEPTED, Completion, InstanceCandidate
from selfinstruct.store import schema
from selfinstruct.store.batches import (
    batch_info,
    batch_numbers,
    batch_path,
    commit_batch,
    next_number,
    verify_batches,
)
from selfinstruct.store.layout import ANSWERS
from selfinstruct.store.run import Run, damage


@dataclass(frozen=True)
class AnswerBatch:
    """One commit of answers; `info` is the content of answers.json."""

    number: int
    completions: Sequence[Completion]
    instances: Sequence[InstanceCandidate]
    info: Mapping[str, Any]


def answer_batches(run: Run) -> list[int]:
    """Return the numbers of the committed batches of a run."""
    return batch_numbers(run, ANSWERS)


def answer_info(run: Run, number: int) -> dict[str, Any]:
    """Return a batch's answers.json.

    Raises:
        StoreError: it is damaged, or newer than this code.
    """
    info = batch_info(run, ANSWERS, number, {"model": dict, "answers": dict})
    if not {"name", "digest", "prompting"} <= info["model"].keys():
        path = batch_path(run, ANSWERS, number) / "answers.json"
        raise StoreError(f"{path}: is damaged (no valid model); restore it from a backup")
    return info


def verify_answers(run: Run) -> None:
    """Compare every file of every batch with its checksum.

    Raises:
        StoreError: a file differs; names the first.
    """
    verify_batches(run, ANSWERS)


def next_batch(run: Run) -> int:
    """Return the number of the next batch."""
    return next_number(run, ANSWERS)


def read_answers(run: Run, number: int) -> list[InstanceCandidate]:
    """Return the answers of a batch, with their verdicts."""
    path = batch_path(run, ANSWERS, number) / "instances.parquet"
    with damage(path):
        return schema.read_instances(path)


def read_answer_completions(run: Run, number: int) -> list[Completion]:
    """Return the requests and completions of a batch."""
    path = batch_path(run, ANSWERS, number) / "completions.parquet"
    with damage(path):
        return schema.read_completions(path, run.markers)


def commit_answers(run: Run, batch: AnswerBatch) -> None:
    """Write a batch; once this returns it is on disk for good.

    Raises:
        WriteError: the disk refuses.
    """

    def write(folder: Path) -> None:
        schema.write_completions(folder / "completions.parquet", batch.completions)
        schema.write_instances(folder / "instances.parquet", batch.instances)

    commit_batch(run, ANSWERS, batch.number, write, batch.info)


def best_answers(run: Run) -> dict[str, InstanceCandidate]:
    """Return the newest accepted answer to each instance, by the instance's id.

    Raises:
        StoreError: a file is not what was committed.
    """
    verify_answers(run)
    best: dict[str, InstanceCandidate] = {}
    for number in answer_batches(run):
        for row in read_answers(run, number):
            if row.verdict == ACCEPTED and row.answer_to is not None:
                best[row.answer_to] = row
    return best
