"""What a run has recorded: its rounds and imports, read back and checked, wherever they lie."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

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
from selfinstruct.store.columns import Place, read_columns, read_table
from selfinstruct.store.heads import check_head, head
from selfinstruct.store.layout import (
    CALIBRATION,
    COMPLETIONS,
    IMPORTS,
    INSTANCES,
    INSTRUCTIONS,
    ROUNDS,
)
from selfinstruct.store.packs import (
    COMPACTED_VERSION,
    ROUND_LINES,
    check_manifest,
    pack_of,
    packed_numbers,
    packs_of,
)
from selfinstruct.store.sealed import (
    check_chain,
    check_names,
    check_seal,
    checked,
    commit_name,
    numbered,
    read_json,
    sha256,
)

# The JSON of a commit, and its other files, by the folder that the commit lies in.
INFO = {ROUNDS: "round.json", IMPORTS: "imports.json"}
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
class Recorded:
    """What a run has recorded; `meta` is the content of run.yaml."""

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
        # Before the packs: a round that is removed meanwhile is in one then.
        loose = [*numbered(folder), *numbered(self.path / IMPORTS)]
        packed = packed_numbers(self.path)
        numbers = sorted([*packed, *(number for number in loose if number not in packed)])
        check_manifest(self.path, numbers)
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
        """Return the folder of a round or an import: of a compacted one, that of its pack."""
        pack = pack_of(self.path, number)
        if pack is not None:
            return pack.folder
        return self.commit_path(number, imported=self.is_import(number))

    def is_import(self, number: int) -> bool:
        """Whether the round of this number was imported: no model wrote it."""
        pack = pack_of(self.path, number)
        if pack is not None:
            return pack.round(number).folder == IMPORTS
        # A text, since it is asked many times for each round: a `Path` takes longer than the rest.
        return os.path.isdir(f"{self.path}/{IMPORTS}/{commit_name(number)}")  # noqa: PTH112

    def commit_path(self, number: int, *, imported: bool) -> Path:
        """Return the folder that a round is committed to, or an import."""
        return self.path / (IMPORTS if imported else ROUNDS) / commit_name(number)

    def info_path(self, number: int) -> Path:
        """Return the JSON of a round or an import; of a compacted one, the file that holds it."""
        pack = pack_of(self.path, number)
        if pack is not None:
            return pack.folder / ROUND_LINES
        folder = self.round_path(number)
        return folder / INFO[folder.parent.name]

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
        pack = pack_of(self.path, number)
        path = self.info_path(number)
        info: dict[str, Any] = json.loads(pack.round(number).text) if pack else read_json(path)
        check_version(info, path)
        wrong = [k for k, kind in _ROUND_KEYS.items() if not isinstance(info.get(k), kind)]
        if not wrong and not {"prompt", "generated"} <= info["tokens"].keys():
            wrong = ["tokens"]
        # Imports of older programs do not say their number.
        if not wrong and info.get("round", number) != number:
            wrong = ["round"]
        if wrong:
            raise StoreError(f"{path}: is damaged (no valid {', '.join(wrong)}); restore the round")
        if pack is None:
            self.check_commit(number, info)
        return info

    def check_commit(self, number: int, info: Mapping[str, Any]) -> None:
        """Check names, seal and chain of a round's JSON. A pack's were checked when it was made.

        Raises:
            ChainError: it follows another round.
            StoreError: it was changed.
        """
        path, folder = self.info_path(number), IMPORTS if self.is_import(number) else ROUNDS
        check_names(info, path, _FILES[folder])
        check_seal(info, path)
        before = self.info_path(number - 1) if number else None
        packed = self.packed_link(number - 1)
        check_chain(info, path, before, self.meta.get("fingerprint"), packed)

    def packed_link(self, number: int) -> str | None:
        """Return what the round after one says of it, if that one lies in a pack."""
        pack = pack_of(self.path, number)
        return None if pack is None else pack.round(number).sha256

    def committed(self, number: int, name: str) -> Path:
        """Return a file of a round or an import, whose content is what was committed.

        Raises:
            StoreError: it is missing, or was changed.
        """
        pack = pack_of(self.path, number)
        if pack is not None:
            return pack.file(name)
        return checked(self.round_path(number) / name, self.info(number)["checksums"])

    def place(self, number: int, name: str) -> Place | None:
        """Return where the rows of a round lie in its file; None: they are all of the file."""
        pack = pack_of(self.path, number)
        return None if pack is None else pack.round(number).rows[name]

    def instructions(
        self, number: int, ids: Collection[str] | None = None
    ) -> list[InstructionCandidate]:
        """Return the instructions of a round as recorded: those with these ids, or all."""
        path = self.committed(number, INSTRUCTIONS)
        with damage(path):
            return schema.read_instructions(path, ids, self.place(number, INSTRUCTIONS))

    def instances(
        self, number: int, instruction_ids: Collection[str] | None = None
    ) -> list[InstanceCandidate]:
        """Return the instances of a round as recorded: those of these instructions, or all."""
        path = self.committed(number, INSTANCES)
        with damage(path):
            return schema.read_instances(path, instruction_ids, self.place(number, INSTANCES))

    def columns(self, number: int, name: str, columns: Sequence[str]) -> pa.Table:
        """Return columns of the instructions or instances of a round; null where it lacks them."""
        path = self.committed(number, name)
        with damage(path):
            return read_columns(path, schema.TABLES[name], columns, self.place(number, name))

    def sizes(self, number: int) -> dict[str, int]:
        """Return the bytes of each file of a round; of a pack's file, its share by rows."""
        folder, pack = self.round_path(number), pack_of(self.path, number)
        if pack is None:
            return {path.name: path.stat().st_size for path in folder.iterdir()}
        own = pack.round(number)
        sizes = {INFO[own.folder]: len(own.text.encode())}
        for name, (_, count) in own.rows.items():
            total = max(sum(one.rows.get(name, (0, 0))[1] for one in pack.rounds), 1)
            sizes[name] = round((folder / name).stat().st_size * count / total)
        return sizes

    def table(self, number: int, name: str) -> pa.Table:
        """Return a file of a round, with all its columns; the caller checks rows of a pack."""
        place = self.place(number, name)
        packed = self.round_path(number) / name
        path = self.committed(number, name) if place is None else packed
        with damage(path):
            return read_table(path, place)

    def completions(self, number: int) -> list[Completion]:
        """Return the requests and completions of a round; an import has none."""
        if self.is_import(number):
            return []
        path = self.committed(number, COMPLETIONS)
        with damage(path):
            return schema.read_completions(path, self.markers, self.place(number, COMPLETIONS))

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
        for pack in packs_of(self.path):
            check_files(pack.folder, pack.info)
        packed = packed_numbers(self.path)
        for number in self.rounds():
            if number not in packed:
                check_files(self.round_path(number), self.info(number))


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
    if version > COMPACTED_VERSION:
        raise StoreError(
            f"{path}: schema_version {version} is newer than this program knows "
            f"({COMPACTED_VERSION}); upgrade selfinstruct"
        )


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn the errors of reading a damaged file into StoreError."""
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, ValueError, RecursionError, ConfigError) as error:
        raise StoreError(f"{path}: is damaged ({why(error)}); restore it from a backup") from error
