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
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.common.records import (
    CalibrationScore,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Markers,
)
from selfinstruct.prompts.settings import SETTINGS, read_settings
from selfinstruct.store import schema
from selfinstruct.store.heads import check_head, head, write_head
from selfinstruct.store.layout import (
    CALIBRATION,
    COMPLETIONS,
    IMPORTS,
    INSTANCES,
    INSTRUCTIONS,
    ROUNDS,
    RUN_FILE,
    STATUS_FILE,
)
from selfinstruct.store.open_rounds import open_path
from selfinstruct.store.sealed import (
    PREVIOUS,
    check_chain,
    check_names,
    check_seal,
    checked,
    commit_name,
    link,
    numbered,
    read_json,
    seal,
    sha256,
)

log = logging.getLogger(__name__)

# The JSON of a commit, and its other files, by the folder that the commit lies in.
_INFO = {ROUNDS: "round.json", IMPORTS: "imports.json"}
_FILES = {ROUNDS: (COMPLETIONS, INSTRUCTIONS, INSTANCES), IMPORTS: (INSTRUCTIONS, INSTANCES)}
_ROUND_KEYS: dict[str, type | tuple[type, ...]] = {
    "target": int,
    "tasks": int,
    "yield": (int, float),
    "seconds": (int, float),
    "engine_idle_share": (int, float),
    "instructions": dict,
    "instances": dict,
    "tokens": dict,
    "checksums": dict,
}


@dataclass(frozen=True)
class RoundData:
    """The content of one round; `info` is the content of round.json.

    imported: whether no model wrote it; it has no completions then.
    """

    number: int
    completions: Sequence[Completion]
    instructions: Sequence[InstructionCandidate]
    instances: Sequence[InstanceCandidate]
    info: Mapping[str, Any]
    imported: bool = False


@dataclass(frozen=True)
class Run:
    """An existing run; `meta` is the content of run.yaml."""

    path: Path
    meta: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def has_model(self) -> bool:
        """Whether a model writes this run; none does where its first round was imported."""
        return not self.meta["model"].get("imported", False)

    def rounds(self) -> list[int]:
        """Return the numbers of the committed rounds and imports, from 0 without a gap.

        Raises:
            StoreError: a round is missing.
        """
        folder = self.path / ROUNDS
        if not folder.is_dir():
            raise StoreError(f"{folder}: is missing; restore it from a backup")
        known = head(self.path, ROUNDS)
        numbers = sorted([*numbered(folder), *numbered(self.path / IMPORTS)])
        if numbers != list(range(len(numbers))):
            missing = min(set(range(len(numbers))) - set(numbers))
            raise StoreError(
                f"{folder}: round {missing:05d} is missing, later ones exist; restore it from a "
                "backup, or move the later ones away with: selfinstruct audit repair "
                f"{self.path}"
            )
        check_head(self.path, ROUNDS, known, len(numbers))
        return numbers

    def round_path(self, number: int) -> Path:
        """Return the folder of a round or an import."""
        return self._commit_path(number, imported=self.is_import(number))

    def is_import(self, number: int) -> bool:
        """Whether the round of this number was imported: no model wrote it."""
        return self._commit_path(number, imported=True).is_dir()

    def _commit_path(self, number: int, *, imported: bool) -> Path:
        return self.path / (IMPORTS if imported else ROUNDS) / commit_name(number)

    def info_path(self, number: int) -> Path:
        """Return the JSON of a round or an import."""
        folder = self.round_path(number)
        return folder / _INFO[folder.parent.name]

    def calibration(self) -> list[CalibrationScore]:
        """Return the scores of the calibration texts; none for a run older than calibration.

        Raises:
            StoreError: they are not what was committed.
        """
        recorded = self.meta.get("calibration")
        if recorded is None:
            return []
        path = self.path / CALIBRATION
        with damage(path):
            if sha256(path) != recorded["sha256"]:
                raise ValueError("not what was committed: checksum")
            return schema.read_calibration(path)

    def info(self, number: int) -> dict[str, Any]:
        """Return the content of a round's round.json, or of an import's imports.json.

        Raises:
            StoreError: it is damaged, or newer than this code.
        """
        path = self.info_path(number)
        info: dict[str, Any] = read_json(path)
        check_version(info, path)
        wrong = [k for k, kind in _ROUND_KEYS.items() if not isinstance(info.get(k), kind)]
        if not wrong and not {"prompt", "generated"} <= info["tokens"].keys():
            wrong = ["tokens"]
        # Imports of older programs do not say their number.
        if not wrong and info.get("round", number) != number:
            wrong = ["round"]
        if wrong:
            raise StoreError(f"{path}: is damaged (no valid {', '.join(wrong)}); restore the round")
        check_names(info, path, _FILES[path.parent.parent.name])
        check_seal(info, path)
        before = self.info_path(number - 1) if number else None
        check_chain(info, path, before, self.meta.get("fingerprint"))
        return info

    def committed(self, number: int, name: str) -> Path:
        """Return a file of a round or an import, whose content is what was committed.

        Raises:
            StoreError: it is missing, or was changed.
        """
        return checked(self.round_path(number) / name, self.info(number)["checksums"])

    def instructions(
        self, number: int, ids: Collection[str] | None = None
    ) -> list[InstructionCandidate]:
        """Return the instructions of a round as recorded: those with these ids, or all."""
        path = self.committed(number, INSTRUCTIONS)
        with damage(path):
            return schema.read_instructions(path, ids)

    def instances(
        self, number: int, instruction_ids: Collection[str] | None = None
    ) -> list[InstanceCandidate]:
        """Return the instances of a round as recorded: those of these instructions, or all."""
        path = self.committed(number, INSTANCES)
        with damage(path):
            return schema.read_instances(path, instruction_ids)

    def completions(self, number: int) -> list[Completion]:
        """Return the requests and completions of a round; an import has none."""
        if self.is_import(number):
            return []
        path = self.committed(number, COMPLETIONS)
        with damage(path):
            return schema.read_completions(path, self.markers)

    def markers(self) -> Markers:
        """Return the marker words of the run's templates, as they were used.

        Raises:
            StoreError: they cannot be read.
        """
        path = self.path / "inputs" / "prompts" / SETTINGS
        with damage(path):
            return read_settings(path.read_text(encoding="utf-8")).marker_record()

    def read_round(self, number: int) -> RoundData:
        return RoundData(
            number,
            self.completions(number),
            self.instructions(number),
            self.instances(number),
            self.info(number),
            self.is_import(number),
        )

    def verify(self) -> None:
        """Compare every file of every round with the checksum taken when it was committed.

        Raises:
            StoreError: a file differs; names the first.
        """
        self.calibration()
        for number in self.rounds():
            check_files(self.round_path(number), self.info(number))

    def commit(self, data: RoundData) -> None:
        """Write a round; once this returns it is on disk for good.

        Raises:
            WriteError: the disk refuses; earlier commits are not touched.
        """
        target = self._commit_path(data.number, imported=data.imported)
        with refusal(target):
            self._commit(data, target)

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
                PREVIOUS: link(before, self.meta.get("fingerprint")),
            }
        )
        text = json.dumps(info, indent=2) + "\n"
        (work / _INFO[target.parent.name]).write_text(text, encoding="utf-8")
        atomic.commit_folder(work, target)
        write_head(self.path, ROUNDS, data.number + 1)
        open_path(self.path, data.number).unlink(missing_ok=True)

    def discard_torn(self) -> None:
        """Remove rounds that a dead process has left half written; they are made again."""
        for folder, again in ((ROUNDS, "generated"), (IMPORTS, "imported")):
            for work in (self.path / folder).glob(".*.tmp"):
                log.warning(
                    "discarding the unfinished round %s; it will be %s again", work.name, again
                )
                shutil.rmtree(work)

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
    text = yaml.safe_dump(seal(meta), sort_keys=False, allow_unicode=True)
    with refusal(path / RUN_FILE):
        atomic.write_text(path / RUN_FILE, text)


def checksums_of(folder: Path) -> dict[str, str]:
    """Return the checksum of each file of a commit that is being written, by name."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}


def check_files(folder: Path, info: Mapping[str, Any]) -> None:
    """Compare the files of a commit with the checksums that its JSON has.

    Raises:
        StoreError: a file differs; names the first.
    """
    for name, checksum in info["checksums"].items():
        path = folder / name
        if not path.is_file() or sha256(path) != checksum:
            raise StoreError(
                f"{path}: is not what was committed (checksum); restore it from a backup"
            )


def check_version(data: Any, path: Path) -> None:
    """Raise StoreError for a file without a version, or with one that is newer than this code."""
    if not isinstance(data, dict):
        raise StoreError(f"{path}: is damaged (holds no mapping); restore it from a backup")
    version = data.get("schema_version")
    if not isinstance(version, int):
        raise StoreError(f"{path}: has no schema_version; restore it from a backup")
    if version > schema.SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema_version {version} is newer than this program knows "
            f"({schema.SCHEMA_VERSION}); upgrade selfinstruct"
        )


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn the errors of reading a damaged file into StoreError."""
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, ValueError, RecursionError, ConfigError) as error:
        raise StoreError(f"{path}: is damaged ({why(error)}); restore it from a backup") from error
