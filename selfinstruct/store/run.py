"""A run's folder: create, lock, commit a round, recover, read.

    run.yaml               schema version, resolved config, model identity, versions
    inputs/                the seed file and the prompt templates as used
    status.json            running, stopped (and why), failed; advisory
    rounds/00000/          completions, instructions, instances (Parquet), round.json

A round is written as rounds/.00000.tmp and renamed: the rename is the commit. Rounds are
never rewritten. A folder is a run once it has its run.yaml, which is written last.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from selfinstruct.errors import ConfigError, StoreError
from selfinstruct.records import Completion, InstanceCandidate, InstructionCandidate
from selfinstruct.store import atomic, schema

log = logging.getLogger(__name__)

RUN_FILE = "run.yaml"
_LOCK_FILE = ".lock"
_COMPLETIONS = "completions.parquet"
_INSTRUCTIONS = "instructions.parquet"
_INSTANCES = "instances.parquet"
_ROUND = "round.json"


@dataclass(frozen=True)
class RoundData:
    """Everything of one round; `info` is what round.json says."""

    number: int
    completions: Sequence[Completion]
    instructions: Sequence[InstructionCandidate]
    instances: Sequence[InstanceCandidate]
    info: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """An existing run. `meta` is run.yaml."""

    path: Path
    meta: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def rounds(self) -> list[int]:
        """Return the numbers of the committed rounds, from 0 without a gap.

        Raises:
            StoreError: a round is missing in between.
        """
        folder = self.path / "rounds"
        numbers = sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())
        if numbers != list(range(len(numbers))):
            missing = min(set(range(len(numbers))) - set(numbers))
            raise StoreError(
                f"{folder}: round {missing:05d} is missing, later ones exist; restore it from a "
                "backup, or move the later ones away and resume"
            )
        return numbers

    def round_path(self, number: int) -> Path:
        return self.path / "rounds" / f"{number:05d}"

    def info(self, number: int) -> dict[str, Any]:
        """Return a round's round.json."""
        path = self.round_path(number) / _ROUND
        try:
            info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: is damaged ({error}); restore the round") from error
        _check_version(info, path)
        return info

    def instructions(self, number: int) -> list[InstructionCandidate]:
        path = self.round_path(number) / _INSTRUCTIONS
        with _damage(path):
            return schema.read_instructions(path)

    def instances(self, number: int) -> list[InstanceCandidate]:
        path = self.round_path(number) / _INSTANCES
        with _damage(path):
            return schema.read_instances(path)

    def completions(self, number: int) -> list[Completion]:
        path = self.round_path(number) / _COMPLETIONS
        with _damage(path):
            return schema.read_completions(path)

    def read_round(self, number: int) -> RoundData:
        return RoundData(
            number,
            self.completions(number),
            self.instructions(number),
            self.instances(number),
            self.info(number),
        )

    def verify(self) -> None:
        """Compare every file of every round with the checksum taken when it was committed.

        Raises:
            StoreError: naming the first file that differs.
        """
        for number in self.rounds():
            for name, checksum in self.info(number)["checksums"].items():
                path = self.round_path(number) / name
                if not path.is_file() or atomic.sha256(path) != checksum:
                    raise StoreError(
                        f"{path}: is not what was committed (checksum); restore it from a backup"
                    )

    def commit(self, data: RoundData) -> None:
        """Write a round; once this returns it is on disk for good."""
        target = self.round_path(data.number)
        work = target.with_name(f".{target.name}.tmp")
        if work.exists():
            shutil.rmtree(work)
        work.mkdir(parents=True)
        schema.write_completions(work / _COMPLETIONS, data.completions)
        schema.write_instructions(work / _INSTRUCTIONS, data.instructions)
        schema.write_instances(work / _INSTANCES, data.instances)
        checksums = {path.name: atomic.sha256(path) for path in sorted(work.iterdir())}
        info = {"schema_version": schema.SCHEMA_VERSION, **data.info, "checksums": checksums}
        (work / _ROUND).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        atomic.commit_folder(work, target)

    def discard_torn(self) -> None:
        """Remove rounds that were being written when a process died; they are owed again."""
        for work in (self.path / "rounds").glob(".*.tmp"):
            log.warning("discarding the unfinished round %s; it will be generated again", work.name)
            shutil.rmtree(work)

    def with_config(self, config: Mapping[str, Any]) -> Run:
        """Return the run with its stopping and throughput settings as they are now, stored."""
        meta = {**self.meta, "config": dict(config)}
        if meta["config"] != self.meta["config"]:
            _write_meta(self.path, meta)
        return Run(self.path, meta)

    def write_status(self, state: str, **details: Any) -> None:
        """Replace status.json (advisory: nothing is decided by it)."""
        status = {"state": state, "pid": os.getpid(), "heartbeat": time.time(), **details}
        atomic.write_json(self.path / "status.json", status)

    def status(self) -> dict[str, Any]:
        try:
            status: dict[str, Any] = json.loads((self.path / "status.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {"state": "unknown"}
        return status


def run_exists(path: Path) -> bool:
    return (path / RUN_FILE).is_file()


def open_run(path: Path) -> Run:
    """Open an existing run for reading.

    Raises:
        ConfigError: there is none.
        StoreError: run.yaml is damaged or newer than this code.
    """
    file = path / RUN_FILE
    if not file.is_file():
        raise ConfigError(f"{path}: is not a run (it has no {RUN_FILE}); check the folder")
    try:
        meta = yaml.safe_load(file.read_text(encoding="utf-8"))
        _check_version(meta, file)
        meta["config"], meta["inputs"], meta["model"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise StoreError(f"{file}: is damaged ({error!r}); restore it from a backup") from error
    return Run(path, meta)


def create_run(
    path: Path, meta: Mapping[str, Any], seeds: bytes, prompts: Mapping[str, str]
) -> Run:
    """Write what makes a folder a run; run.yaml comes last."""
    inputs = path / "inputs"
    (inputs / "prompts").mkdir(parents=True, exist_ok=True)
    (path / "rounds").mkdir(exist_ok=True)
    atomic.write_bytes(inputs / "seeds.jsonl", seeds)
    for name, text in prompts.items():
        atomic.write_text(inputs / "prompts" / name, text)
    full = {"schema_version": schema.SCHEMA_VERSION, **meta}
    _write_meta(path, full)
    return Run(path, full)


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold a run for writing, with an operating-system lock that dies with its process.

    Folders made for a run that did not come to be are taken away again.

    Raises:
        ConfigError: another process holds it, or the folder cannot be made.
    """
    made = _make_folders(path)
    handle = (path / _LOCK_FILE).open("a")
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            made = []
            raise ConfigError(
                f"{path}: another process is writing this run; wait for it, or stop it first"
            ) from None
        try:
            yield
        finally:
            if not run_exists(path):
                (path / _LOCK_FILE).unlink(missing_ok=True)
    finally:
        handle.close()
        if not run_exists(path):
            for folder in made:
                shutil.rmtree(folder, ignore_errors=True)


def _write_meta(path: Path, meta: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(meta), sort_keys=False, allow_unicode=True)
    atomic.write_text(path / RUN_FILE, text)


def _make_folders(path: Path) -> list[Path]:
    """Create `path` and return the topmost folder made for it, if any."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for existing in (p for p in (path, *path.parents) if p.exists()):
        if not existing.is_dir():
            raise ConfigError(f"{path}: {existing} is a file; give another --out")
        break
    if not missing and not run_exists(path) and any(path.iterdir()):
        raise ConfigError(f"{path}: holds other files and is not a run; give another --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be made ({error.strerror}); check --out") from error
    return missing[-1:]


def _check_version(data: Mapping[str, Any], path: Path) -> None:
    version = data.get("schema_version")
    if not isinstance(version, int):
        raise StoreError(f"{path}: has no schema_version; restore it from a backup")
    if version > schema.SCHEMA_VERSION:
        raise StoreError(
            f"{path}: schema_version {version} is newer than this program knows "
            f"({schema.SCHEMA_VERSION}); upgrade selfinstruct"
        )


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise StoreError(f"{path}: is damaged ({error}); restore it from a backup") from error
