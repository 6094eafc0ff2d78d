"""Answers of another model to the tasks of a run: commits of their own, beside the rounds.

answers/00000/         written as answers/.00000.tmp and renamed, like a round
completions.parquet  every request and completion
instances.parquet    every answer as an instance; `answer_to` is the one it answers
answers.json         model, settings, counts by reason, tokens, seconds, checksums
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.errors import StoreError
from selfinstruct.records import Completion, InstanceCandidate
from selfinstruct.store import atomic, schema
from selfinstruct.store.run import Run, check_version, damage, refusal

_INFO = "answers.json"


@dataclass(frozen=True)
class AnswerBatch:
    """One commit of answers; `info` is what answers.json says."""

    number: int
    completions: Sequence[Completion]
    instances: Sequence[InstanceCandidate]
    info: Mapping[str, Any]


def answer_batches(run: Run) -> list[int]:
    """Return the numbers of the committed batches of a run."""
    folder = run.path / "answers"
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def answer_info(run: Run, number: int) -> dict[str, Any]:
    """Return a batch's answers.json.

    Raises:
        StoreError: it is damaged, or newer than this code.
    """
    path = _path(run, number) / _INFO
    try:
        info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: is damaged ({error}); restore it from a backup") from error
    check_version(info, path)
    model = info.get("model")
    if not isinstance(model, dict) or not {"name", "digest", "prompting"} <= model.keys():
        raise StoreError(f"{path}: is damaged (no valid model); restore it from a backup")
    if not isinstance(info.get("checksums"), dict) or not isinstance(info.get("answers"), dict):
        raise StoreError(f"{path}: is damaged (no counts or checksums); restore it from a backup")
    return info


def verify_answers(run: Run) -> None:
    """Compare every file of every batch with its checksum.

    Raises:
        StoreError: naming the first file that differs.
    """
    for number in answer_batches(run):
        for name, checksum in answer_info(run, number)["checksums"].items():
            path = _path(run, number) / name
            if not path.is_file() or atomic.sha256(path) != checksum:
                raise StoreError(
                    f"{path}: is not what was committed (checksum); restore it from a backup"
                )


def next_batch(run: Run) -> int:
    """Return the number that the next batch gets."""
    return max(answer_batches(run), default=-1) + 1


def read_answers(run: Run, number: int) -> list[InstanceCandidate]:
    """Return the answers of a batch, with their verdicts."""
    path = _path(run, number) / "instances.parquet"
    with damage(path):
        return schema.read_instances(path)


def read_answer_completions(run: Run, number: int) -> list[Completion]:
    """Return the requests and completions of a batch."""
    path = _path(run, number) / "completions.parquet"
    with damage(path):
        return schema.read_completions(path)


def commit_answers(run: Run, batch: AnswerBatch) -> None:
    """Write a batch; once this returns it is on disk for good.

    Raises:
        WriteError: the disk refuses.
    """
    target = _path(run, batch.number)
    work = target.with_name(f".{target.name}.tmp")
    with refusal(target):
        if work.exists():
            shutil.rmtree(work)
        work.mkdir(parents=True)
        schema.write_completions(work / "completions.parquet", batch.completions)
        schema.write_instances(work / "instances.parquet", batch.instances)
        checksums = {path.name: atomic.sha256(path) for path in sorted(work.iterdir())}
        info = {**batch.info, "schema_version": schema.SCHEMA_VERSION, "checksums": checksums}
        atomic.write_json(work / _INFO, info)
        atomic.commit_folder(work, target)


def _path(run: Run, number: int) -> Path:
    return run.path / "answers" / f"{number:05d}"
