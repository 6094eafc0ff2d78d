"""Commits beside the rounds of a run, one folder each.

A batch of a kind, such as answers/00000/, is written as answers/.00000.tmp and renamed, like a
round. Its answers.json has the checksums of its other files.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import StoreError
from selfinstruct.store import schema
from selfinstruct.store.run import Run, check_version

log = logging.getLogger(__name__)


def batch_numbers(run: Run, kind: str) -> list[int]:
    """Return the numbers of the committed batches of a kind."""
    folder = run.path / kind
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def next_number(run: Run, kind: str) -> int:
    """Return the number of the next batch of a kind."""
    return max(batch_numbers(run, kind), default=-1) + 1


def batch_path(run: Run, kind: str, number: int) -> Path:
    return run.path / kind / f"{number:05d}"


def batch_info(run: Run, kind: str, number: int, required: Mapping[str, type]) -> dict[str, Any]:
    """Return the content of a batch's own JSON.

    Args:
        run: the run.
        kind: the folder's name.
        number: of the batch.
        required: keys that it must have, with their types.

    Raises:
        StoreError: it is damaged, newer than this code, or lacks a required key.
    """
    path = batch_path(run, kind, number) / f"{kind}.json"
    try:
        info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: is damaged ({error}); restore it from a backup") from error
    check_version(info, path)
    keys = {"checksums": dict, **required}
    wrong = [key for key, type in keys.items() if not isinstance(info.get(key), type)]
    if wrong:
        names = ", ".join(wrong)
        raise StoreError(f"{path}: is damaged (no valid {names}); restore it from a backup")
    return info


def verify_batches(run: Run, kind: str) -> None:
    """Compare every file of every batch with its checksum.

    Raises:
        StoreError: a file differs; names the first.
    """
    for number in batch_numbers(run, kind):
        for name, checksum in batch_info(run, kind, number, {})["checksums"].items():
            path = batch_path(run, kind, number) / name
            if not path.is_file() or atomic.sha256(path) != checksum:
                raise StoreError(
                    f"{path}: is not what was committed (checksum); restore it from a backup"
                )


def commit_batch(
    run: Run, kind: str, number: int, write: Callable[[Path], None], info: Mapping[str, Any]
) -> None:
    """Write a batch; once this returns it is on disk for good.

    Args:
        run: the run.
        kind: the folder's name.
        number: of the batch.
        write: writes the files into the folder that it gets.
        info: content of the batch's JSON, without version and checksums.

    Raises:
        WriteError: the disk refuses.
    """
    target = batch_path(run, kind, number)
    work = target.with_name(f".{target.name}.tmp")
    with refusal(target):
        if work.exists():
            log.warning(
                "discarding the unfinished %s/%s; it will be written again", kind, work.name
            )
            shutil.rmtree(work)
        work.mkdir(parents=True)
        write(work)
        checksums = {path.name: atomic.sha256(path) for path in sorted(work.iterdir())}
        full = {**info, "schema_version": schema.SCHEMA_VERSION, "checksums": checksums}
        atomic.write_json(work / f"{kind}.json", full)
        atomic.commit_folder(work, target)
