"""Packs: many rounds of a run in a few larger files, as `compact` writes them.

    compacted/manifest.json     the packs that count; its replacement is the commit
    compacted/00000-00499/      rounds 0 to 499
      completions.parquet       the rows of all these rounds, in their order
      instructions.parquet
      instances.parquet
      rounds.jsonl              a line for each round: its JSON as it was, and where its rows lie
      pack.json                 first and last round, checksums of the other files

A round's JSON is kept to the byte, so that seals and chains of commits stay as they are. The
checksums in it are of files that are no more: instead, each line has a checksum of the round's rows
(rowsums.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.common.errors import StoreError, why
from selfinstruct.store.layout import COMPACTED
from selfinstruct.store.sealed import SEAL, check_seal, checked, read_json, sha256

MANIFEST = "manifest.json"
PACK = "pack.json"
ROUND_LINES = "rounds.jsonl"
# Runs with packs have this schema_version: older programs would take the rounds for lost.
COMPACTED_VERSION = 2


@dataclass(frozen=True)
class PackedRound:
    """A round in a pack.

    folder: `rounds` or `imports`. text: its JSON, as it was committed.
    rows: by file, the first row and the number of rows. content: by file, the checksum of them.
    """

    number: int
    folder: str
    text: str
    rows: Mapping[str, tuple[int, int]]
    content: Mapping[str, str]

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the JSON, which the next round names."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Pack:
    """Rounds `first` to `last`; `info` is the content of pack.json."""

    folder: Path
    first: int
    last: int
    info: Mapping[str, Any]

    @cached_property
    def rounds(self) -> list[PackedRound]:
        """The rounds, in order.

        Raises:
            StoreError: they are damaged.
        """
        path = self.file(ROUND_LINES)
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
            rounds = [_packed_round(json.loads(line)) for line in lines if line]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path}: is damaged ({why(error)}); restore it from a backup"
            ) from error
        if [one.number for one in rounds] != list(range(self.first, self.last + 1)):
            raise StoreError(f"{path}: is damaged (other rounds); restore it from a backup")
        return rounds

    def round(self, number: int) -> PackedRound:
        """Return a round by its number."""
        return self.rounds[number - self.first]

    def file(self, name: str) -> Path:
        """Return a file of the pack, whose content is what was committed.

        Raises:
            StoreError: it is missing, or was changed.
        """
        return checked(self.folder / name, self.info["checksums"])

    def has(self, name: str) -> bool:
        """Whether the pack has a file; one of imports alone has no completions."""
        return name in self.info["checksums"]


def packs_of(run: Path) -> list[Pack]:
    """Return the packs of a run, in the order of their rounds; none if it was never compacted.

    Raises:
        StoreError: the manifest or a pack is damaged.
    """
    # A text: this is asked many times for each round, and a `Path` takes longer than the rest.
    path = f"{run}/{COMPACTED}/{MANIFEST}"
    try:
        stat = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({why(error)}); restore it") from error
    return _packs(path, (stat.st_ino, stat.st_size, stat.st_mtime_ns))


def pack_of(run: Path, number: int) -> Pack | None:
    """Return the pack that has a round, or None."""
    packs = packs_of(run)
    place = bisect_right(packs, number, key=lambda pack: pack.first) - 1
    return packs[place] if place >= 0 and number <= packs[place].last else None


def forget_packs() -> None:
    """Read all packs anew when they are needed next."""
    for cache in (_packs, _metadata, _schema, _groups, _group):
        cache.cache_clear()


def packed_numbers(run: Path) -> set[int]:
    """Return the numbers of the rounds that are in packs."""
    return {number for pack in packs_of(run) for number in range(pack.first, pack.last + 1)}


def sound_packs(run: Path) -> tuple[list[Pack], range]:
    """Return the packs before the first that is damaged, and the numbers of the rounds after them.

    What packs are named after tells their rounds. Of a damaged manifest, nothing is known: the
    rounds are as many as the folders are named after.
    """
    folder = run / COMPACTED
    try:
        listed = sorted(read_manifest(folder / MANIFEST), key=lambda one: str(one["name"]))
    except (StoreError, KeyError, TypeError):
        return [], range(max((rounds.stop for rounds in packs_by_name(folder).values()), default=0))
    packs: list[Pack] = []
    for one in listed:
        try:
            packs.append(read_pack(folder / one["name"], one["sha256"]))
        except (StoreError, KeyError, ValueError):
            lost = [rounds_named(each["name"]) or range(0) for each in (one, listed[-1])]
            return packs, range(lost[0].start, lost[1].stop)
    return packs, range(0)


def listed_anew(run: Path) -> list[dict[str, Any]]:
    """Return what a manifest would say of the packs that are there, whole or damaged.

    Of two packs that overlap, the one with more rounds counts: it was written from the other.
    """
    folder = run / COMPACTED
    listed: list[dict[str, Any]] = []
    end = 0
    in_order = sorted(packs_by_name(folder).items(), key=lambda one: (one[1].start, -one[1].stop))
    for name, rounds in in_order:
        if rounds.start >= end:
            path = folder / name / PACK
            listed.append({"name": name, "sha256": sha256(path) if path.is_file() else ""})
            end = rounds.stop
    return listed


def rounds_named(name: str) -> range | None:
    """Return the rounds that a pack is named after; None for a folder that is no pack."""
    match = re.fullmatch(r"([0-9]{5,})-([0-9]{5,})", name)
    return range(int(match[1]), int(match[2]) + 1) if match else None


def check_manifest(run: Path, found: Collection[int]) -> None:
    """Check that a run whose packs have rounds that are nowhere else has a manifest.

    Args:
        run: folder of the run.
        found: numbers of the rounds that it has without.

    Raises:
        StoreError: the manifest is lost.
    """
    path = run / COMPACTED / MANIFEST
    if path.exists() or all(map(set(found).issuperset, packs_by_name(path.parent).values())):
        return
    raise StoreError(
        f"{path}: is missing, and only it tells which packs of rounds count; {_anew(path)}"
    )


def packs_by_name(folder: Path) -> dict[str, range]:
    """Return the folders that are named as packs, in a manifest or not, with their rounds."""
    if not folder.is_dir():
        return {}
    names = [path.name for path in folder.iterdir() if path.is_dir()]
    return {name: rounds for name in names if (rounds := rounds_named(name)) is not None}


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """Return what a manifest says of each pack: its name and the SHA-256 of its pack.json.

    Raises:
        StoreError: it is damaged, or newer than this program.
    """
    manifest = read_json(path)
    advice = _anew(path)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("packs"), list):
        raise StoreError(f"{path}: is damaged (holds no packs); {advice}")
    if manifest.get("schema_version") != COMPACTED_VERSION:
        raise StoreError(
            f"{path}: schema_version {manifest.get('schema_version')} is unknown to this program; "
            "upgrade selfinstruct"
        )
    if SEAL not in manifest:
        raise StoreError(f"{path}: is damaged (lacks {SEAL}); {advice}")
    check_seal(manifest, path, advice)
    packs: list[dict[str, Any]] = manifest["packs"]
    return packs


def _anew(manifest: Path) -> str:
    run = manifest.parent.parent
    return f"restore it from a backup, or write it anew with: selfinstruct audit repair {run}"


def read_pack(folder: Path, checksum: str) -> Pack:
    """Return a pack whose pack.json has a checksum.

    Raises:
        StoreError: it is damaged.
    """
    path = checked(folder / PACK, {PACK: checksum})
    info = read_json(path)
    if not isinstance(info, dict) or SEAL not in info:
        raise StoreError(f"{path}: is damaged (lacks {SEAL}); restore it from a backup")
    check_seal(info, path)
    return Pack(folder, int(info["first"]), int(info["last"]), info)


def read_rows(path: Path, columns: Sequence[str] | None, place: tuple[int, int]) -> pa.Table:
    """Read rows of a Parquet file.

    Args:
        path: of the file.
        columns: their names; None: all.
        place: first row and number of rows.
    """
    mark = _mark_of(path)
    names = None if columns is None else tuple(columns)
    first, count = place
    starts = _groups(str(path), mark)
    group = max(0, bisect_right(starts, first) - 1)
    parts, end = [], first + count
    while group < len(starts) - 1 and starts[group] < end:
        table = _group(str(path), mark, group, names)
        begin = max(first - starts[group], 0)
        parts.append(table.slice(begin, min(end, starts[group + 1]) - starts[group] - begin))
        group += 1
    if parts:
        return pa.concat_tables(parts)
    nothing: pa.Table = schema_of(path).empty_table()
    return nothing if columns is None else nothing.select(columns)


def schema_of(path: Path) -> pa.Schema:
    """Return the schema of a file of a pack, which is read once."""
    return _schema(str(path), _mark_of(path))


def _mark_of(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _packed_round(line: Mapping[str, Any]) -> PackedRound:
    rows = {name: (int(first), int(count)) for name, (first, count) in line["rows"].items()}
    return PackedRound(int(line["round"]), line["folder"], line["json"], rows, line["content"])


@lru_cache(maxsize=64)
def _packs(manifest: str, _mark: tuple[int, int, int]) -> list[Pack]:
    path = Path(manifest)
    packs = [read_pack(path.parent / one["name"], one["sha256"]) for one in read_manifest(path)]
    return sorted(packs, key=lambda pack: pack.first)


@lru_cache(maxsize=16)
def _metadata(path: str, _mark: tuple[int, int, int]) -> pq.FileMetaData:
    return pq.read_metadata(path)


@lru_cache(maxsize=16)
def _schema(path: str, mark: tuple[int, int, int]) -> pa.Schema:
    return _metadata(path, mark).schema.to_arrow_schema()


@lru_cache(maxsize=64)
def _groups(path: str, mark: tuple[int, int, int]) -> list[int]:
    """Return the first row of each group of rows, and the number of rows."""
    metadata, starts = _metadata(path, mark), [0]
    for group in range(metadata.num_row_groups):
        starts.append(starts[-1] + metadata.row_group(group).num_rows)
    return starts


@lru_cache(maxsize=6)
def _group(
    path: str, mark: tuple[int, int, int], group: int, columns: Collection[str] | None
) -> pa.Table:
    file = pq.ParquetFile(path, metadata=_metadata(path, mark))
    return file.read_row_group(group, columns=None if columns is None else list(columns))
