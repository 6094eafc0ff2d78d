"""A run's folder: read it, commit a round, recover.

    run.yaml               schema version, resolved config, model identity, versions
    inputs/                the seed file and the prompt templates as used
    calibration.parquet    scores of seed tasks under the model, for the likelihood filter
    status.json            running, stopped (and why), failed; advisory
    rounds/00000/          completions, instructions, instances (Parquet), round.json
    rounds/.00001.open     journal of a round that is not committed yet (open_rounds.py)
    imports/00001/         instructions, instances (Parquet), imports.json: imported candidates

A round is written as rounds/.00000.tmp and renamed: the rename is the commit. Rounds are
never rewritten. A folder is a run once it has its run.yaml, which is written last.

An import is a round that no model wrote. It has a number in the one sequence of rounds, so that
all that walks the rounds of a run walks its imports too.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import StoreError, why
from selfinstruct.store import schema
from selfinstruct.store.heads import write_head
from selfinstruct.store.layout import (
    COMPACTED,
    COMPLETIONS,
    IMPORTS,
    INSTANCES,
    INSTRUCTIONS,
    ROUNDS,
    RUN_FILE,
    STATUS_FILE,
)
from selfinstruct.store.open_rounds import open_path
from selfinstruct.store.packs import (
    COMPACTED_VERSION,
    MANIFEST,
)
from selfinstruct.store.recorded import INFO, Recorded, RoundData, checksums_of
from selfinstruct.store.sealed import (
    PREVIOUS,
    link,
    read_json,
    seal,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run(Recorded):
    """An existing run."""

    def commit(self, data: RoundData) -> None:
        """Write a round; once this returns it is on disk for good.

        Raises:
            WriteError: the disk refuses; earlier commits are not touched.
        """
        target = self.commit_path(data.number, imported=data.imported)
        with refusal(target):
            self._commit(data, target)
        self._compact_by_itself(data.number + 1)

    def _commit(self, data: RoundData, target: Path) -> None:
        work = target.with_name(f".{target.name}.tmp")
        if work.exists():
            shutil.rmtree(work)
        work.mkdir(parents=True)
        if not data.imported:
            schema.write_completions(work / COMPLETIONS, data.completions)
        schema.write_instructions(work / INSTRUCTIONS, data.instructions)
        schema.write_instances(work / INSTANCES, data.instances)
        before = self.info_path(data.number - 1) if data.number else None
        info = seal(
            {
                "schema_version": schema.SCHEMA_VERSION,
                **data.info,
                "checksums": checksums_of(work),
                PREVIOUS: self.packed_link(data.number - 1)
                or link(before, self.meta.get("fingerprint")),
            }
        )
        text = json.dumps(info, indent=2) + "\n"
        (work / INFO[target.parent.name]).write_text(text, encoding="utf-8")
        atomic.commit_folder(work, target)
        write_head(self.path, ROUNDS, data.number + 1)
        open_path(self.path, data.number).unlink(missing_ok=True)

    def _compact_by_itself(self, rounds: int) -> None:
        from selfinstruct.store.compact import compact_by_itself

        compact_by_itself(self, rounds)

    def discard_torn(self) -> None:
        """Remove rounds that a dead process has left half written; they are made again."""
        for folder, again in ((ROUNDS, "generated"), (IMPORTS, "imported")):
            for work in (self.path / folder).glob(".*.tmp"):
                log.warning(
                    "discarding the unfinished round %s; it will be %s again", work.name, again
                )
                shutil.rmtree(work)
        self._tidy()

    def _tidy(self) -> None:
        from selfinstruct.store.compact import tidy

        tidy(self)

    def with_config(self, config: Mapping[str, Any]) -> Run:
        """Store the present stopping and throughput settings; return the run with them."""
        meta = {**self.meta, "config": dict(config)}
        if meta["config"] != self.meta["config"]:
            write_meta(self.path, meta)
        return Run(self.path, meta)

    def write_status(self, state: str, **details: Any) -> None:
        """Replace status.json. It is advisory, so a failure is only logged."""
        status = {"state": state, "pid": os.getpid(), "heartbeat": time.time(), **details}
        try:
            atomic.write_json(self.path / STATUS_FILE, status)
        except OSError as error:
            log.warning("%s/status.json: cannot be written (%s)", self.path, why(error))

    def status(self) -> dict[str, Any]:
        """Return the content of status.json; a broken one is ignored, with a warning."""
        path = self.path / STATUS_FILE
        if not path.exists():
            return {"state": "unknown"}
        try:
            status = read_json(path)
        except StoreError as error:
            log.warning("%s", error)
            return {"state": "unknown"}
        wrong = _wrong_status(status)
        if wrong:
            log.warning("%s: is damaged (no valid %s); it is ignored", path, ", ".join(wrong))
            return {"state": "unknown"}
        known: dict[str, Any] = status
        return known


def _wrong_status(status: Any) -> list[str]:
    """Return the keys of status.json that have no value of their type."""
    if not isinstance(status, dict):
        return ["mapping"]
    kinds: dict[str, type | tuple[type, ...]] = {
        "state": str,
        "pid": int,
        "heartbeat": (int, float),
    }
    return [key for key, kind in kinds.items() if not isinstance(status.get(key), kind)]


def write_meta(path: Path, meta: Mapping[str, Any]) -> None:
    """Write a run's run.yaml.

    Raises:
        WriteError: the disk refuses.
    """
    if (path / COMPACTED / MANIFEST).exists():
        meta = {**meta, "schema_version": COMPACTED_VERSION}
    text = yaml.safe_dump(seal(meta), sort_keys=False, allow_unicode=True)
    with refusal(path / RUN_FILE):
        atomic.write_text(path / RUN_FILE, text)
