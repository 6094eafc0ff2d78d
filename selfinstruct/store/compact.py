"""Put many rounds of a run into fewer, larger files (packs.py says how they lie).

A pack is written under another name, read back and compared row for row, flushed, and renamed.
Nothing reads it yet. Then `run.yaml` gets a `schema_version` that older programs refuse. Then the
manifest is replaced by one that has the pack: this is the commit. Only then are the rounds' own
folders removed, once no other process reads the run. A process that is killed anywhere loses
nothing: before the commit the rounds are where they were, after it they are in the pack, and the
next writer removes what is left of the other.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import SelfInstructError, StoreError
from selfinstruct.store.heads import raise_heads
from selfinstruct.store.layout import (
    COMPACTED,
    COMPLETIONS,
    IMPORTS,
    INSTANCES,
    INSTRUCTIONS,
    ROUNDS,
)
from selfinstruct.store.packs import (
    COMPACTED_VERSION,
    MANIFEST,
    PACK,
    ROUND_LINES,
    Pack,
    PackedRound,
    listed_anew,
    pack_of,
    packed_numbers,
    packs_of,
    read_rows,
    rounds_named,
    sound_packs,
)
from selfinstruct.store.readers import without_readers
from selfinstruct.store.recorded import check_files, checksums_of, damage
from selfinstruct.store.rowsums import rows_sha256
from selfinstruct.store.run import Run, write_meta
from selfinstruct.store.sealed import commit_name, numbered, seal, sha256

log = logging.getLogger(__name__)

# A pack is full with so many rounds, or with so many bytes of their files.
FULL_ROUNDS = 500
FULL_BYTES = 32 << 20
_UNFINISHED = re.compile(r"\.[0-9]{5,}-[0-9]{5,}\.tmp")
# Rows of a file that are read together: reading one round reads as many.
_GROUP = {COMPLETIONS: 1024, INSTRUCTIONS: 4096, INSTANCES: 4096}


@dataclass(frozen=True)
class Compacted:
    """Result of `compact`.

    Attributes:
        rounds: how many rounds were put into packs.
        packs: how many packs (files with many rounds) were written.
        waiting: whether replaced files could not be removed yet, because another process reads
            the run.
    """

    rounds: int
    packs: int
    waiting: bool


def compact(run: Run, advance: Callable[[int], object] = id) -> Compacted:
    """Put the rounds of a run into fewer files; the caller has the run's lock.

    Args:
        run: the run.
        advance: called with the number of each round that is written.

    Raises:
        StoreError: the run is damaged; nothing is changed then.
        WriteError: the disk refuses.
    """
    with refusal(run.path / COMPACTED):
        tidy(run)
        groups = list(_groups(run))
        raise_heads(run.path, {ROUNDS: len(run.rounds())})
        for group in groups:
            _commit(run, [_written(run, group, advance)])
        return Compacted(sum(map(len, groups)), len(groups), not tidy(run))


def cut_off(run: Run, first: int) -> None:
    """Leave the rounds before one in the packs, and drop those from it on: for `audit repair`.

    Of a pack that has some of both, the first are written again. If they cannot be read, they go
    too.

    Raises:
        WriteError: the disk refuses.
    """
    packs, _ = sound_packs(run.path)
    kept = [pack for pack in packs if pack.last < first]
    with refusal(run.path / COMPACTED):
        for pack in packs:
            if pack.first < first <= pack.last:
                with suppress(StoreError):
                    kept.append(_written(run, list(range(pack.first, first)), id))
        _write_manifest(run, kept)


def name_packs(run: Run) -> None:
    """Write the manifest anew, by the packs that are there: for `audit repair`.

    Raises:
        WriteError: the disk refuses.
    """
    with refusal(run.path / COMPACTED):
        _write_listed(run, listed_anew(run.path))


def tidy(run: Run) -> bool:
    """Remove what packs have replaced, and packs that never counted; the caller has the lock.

    Returns:
        Whether all of it is gone: otherwise another process reads the run.
    """
    rubbish = list(_rubbish(run.path))
    if not rubbish:
        return True
    with without_readers(run.path) as is_alone:
        if is_alone:
            for path in rubbish:
                shutil.rmtree(path)
            for folder in {path.parent for path in rubbish}:
                atomic.sync(folder)
        return is_alone


def _rubbish(run: Path) -> Iterator[Path]:
    """Yield what packs have replaced, and packs that do not count and hold nothing of their own.

    Where the manifest is lost or an older one, packs hold rounds that are nowhere else: they stay.

    Raises:
        StoreError: a pack that has replaced something is damaged.
    """
    packs, packed = packs_of(run), packed_numbers(run)
    loose = {name: numbered(run / name) for name in (ROUNDS, IMPORTS)}
    present = packed.union(*loose.values())
    for name, numbers in loose.items():
        for pack in packs:
            replaced = [number for number in numbers if pack.first <= number <= pack.last]
            if replaced:
                check_files(pack.folder, pack.info)
            yield from (run / name / commit_name(number) for number in replaced)
    names = {pack.folder.name for pack in packs}
    folder = run / COMPACTED
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name in names or not path.is_dir():
            continue
        rounds = rounds_named(path.name)
        if _UNFINISHED.fullmatch(path.name) or (rounds and present.issuperset(rounds)):
            yield path


def _groups(run: Run) -> Iterator[list[int]]:
    """Yield the rounds that are put together: two or more, with tables of the same columns.

    A pack that is not full is written again, with the rounds after it.
    """
    group: list[int] = []
    size, columns = 0, None
    is_full = {pack.first: _is_full(pack) for pack in packs_of(run.path)}
    for number in run.rounds():
        pack = pack_of(run.path, number)
        if pack is not None and is_full[pack.first]:
            yield from _worth_it(run, group)
            group, size = [], 0
            continue
        own_size, own_columns = _size(run, number, pack), _columns(run, number)
        fits = len(group) < FULL_ROUNDS and size + own_size <= FULL_BYTES
        if group and not (fits and _agree(columns or {}, own_columns)):
            yield from _worth_it(run, group)
            group, size, columns = [], 0, None
        group.append(number)
        size, columns = size + own_size, {**(columns or {}), **own_columns}
    yield from _worth_it(run, group)


def _worth_it(run: Run, group: list[int]) -> Iterator[list[int]]:
    packs = {pack.folder for n in group if (pack := pack_of(run.path, n)) is not None}
    loose = sum(pack_of(run.path, number) is None for number in group)
    if loose + len(packs) > 1:
        yield group


def _is_full(pack: Pack) -> bool:
    size = sum(path.stat().st_size for path in pack.folder.iterdir())
    return pack.last - pack.first + 1 >= FULL_ROUNDS or 2 * size >= FULL_BYTES


def _size(run: Run, number: int, pack: Pack | None) -> int:
    size = sum(path.stat().st_size for path in run.round_path(number).iterdir())
    return size if pack is None else size // (pack.last - pack.first + 1)


def _columns(run: Run, number: int) -> dict[str, pa.Schema]:
    return {name: pq.read_schema(run.committed(number, name)) for name in _files(run, number)}


def _agree(first: Mapping[str, pa.Schema], second: Mapping[str, pa.Schema]) -> bool:
    return all(first[name].equals(second[name]) for name in first.keys() & second.keys())


def _files(run: Run, number: int) -> tuple[str, ...]:
    tables = (INSTRUCTIONS, INSTANCES)
    return tables if run.is_import(number) else (COMPLETIONS, *tables)


def _written(run: Run, group: Sequence[int], advance: Callable[[int], object]) -> Pack:
    """Write a pack of some rounds, which nothing reads yet."""
    name = f"{commit_name(group[0])}-{commit_name(group[-1])}"
    folder = run.path / COMPACTED / name
    work = folder.with_name(f".{name}.tmp")
    for path in (work, folder):
        if path.exists():  # left by a process that was killed before its commit
            shutil.rmtree(path)
    work.mkdir(parents=True)
    rounds = [_line(run, number) for number in group]
    for file in (COMPLETIONS, INSTRUCTIONS, INSTANCES):
        _write_rows(run, work / file, rounds, advance)
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in rounds)
    (work / ROUND_LINES).write_text(lines, encoding="utf-8")
    info = {
        "schema_version": COMPACTED_VERSION,
        "first": group[0],
        "last": group[-1],
        "checksums": checksums_of(work),
    }
    (work / PACK).write_text(json.dumps(seal(info), indent=2) + "\n", encoding="utf-8")
    atomic.commit_folder(work, folder)
    atomic.sync(run.path)
    return Pack(folder, group[0], group[-1], info)


def _line(run: Run, number: int) -> dict[str, Any]:
    """Return what rounds.jsonl says of a round; where its rows lie comes later."""
    run.info(number)  # raises if it is damaged
    pack = pack_of(run.path, number)
    text = run.info_path(number).read_text("utf-8") if pack is None else pack.round(number).text
    folder = IMPORTS if run.is_import(number) else ROUNDS
    return {"round": number, "folder": folder, "json": text, "rows": {}, "content": {}}


def _write_rows(
    run: Run, path: Path, rounds: Sequence[dict[str, Any]], advance: Callable[[int], object]
) -> None:
    """Write one file of a pack, note where the rows of each round lie, and compare them."""
    tables, first = [], 0
    for line in rounds:
        number, before = line["round"], pack_of(run.path, line["round"])
        if path.name not in _files(run, number):
            continue
        table = run.table(number, path.name)
        content = rows_sha256(table)
        if before is not None and before.round(number).content[path.name] != content:
            raise StoreError(
                f"{before.folder / path.name}: round {number} is not what was committed "
                "(checksum of its rows); restore it from a backup"
            )
        line["rows"][path.name] = (first, len(table))
        line["content"][path.name] = content
        tables.append(table)
        first += len(table)
        if path.name == INSTANCES:
            advance(number)
    if not tables:
        return
    whole = pa.concat_tables(tables)
    pq.write_table(whole, path, compression="zstd", row_group_size=_GROUP[path.name])
    check_rows(path, (0, len(whole)), rows_sha256(whole))


def check_rows(path: Path, place: tuple[int, int], content: str) -> None:
    """Compare the rows of a round in a pack with their checksum.

    Raises:
        StoreError: they differ.
    """
    with damage(path):
        found = rows_sha256(read_rows(path, None, place))
    if found != content:
        raise StoreError(
            f"{path}: rows {place[0]} to {place[0] + place[1] - 1} are not what was committed "
            "(checksum of rows); restore it from a backup"
        )


def check_packed(pack: Pack, packed: PackedRound) -> None:
    """Compare all rows of a round in a pack with their checksums.

    Raises:
        StoreError: some differ.
    """
    for name, place in packed.rows.items():
        check_rows(pack.folder / name, place, packed.content[name])


def _commit(run: Run, new: Sequence[Pack]) -> None:
    """Have the manifest name new packs, in the place of those that they were written from."""
    first, last = min(pack.first for pack in new), max(pack.last for pack in new)
    others = [pack for pack in packs_of(run.path) if pack.last < first or pack.first > last]
    _write_manifest(run, [*others, *new])


def _write_manifest(run: Run, packs: Sequence[Pack]) -> None:
    listed = [
        {"name": pack.folder.name, "sha256": sha256(pack.folder / PACK)}
        for pack in sorted(packs, key=lambda pack: pack.first)
    ]
    _write_listed(run, listed)


def _write_listed(run: Run, listed: Sequence[Mapping[str, Any]]) -> None:
    if not (run.path / COMPACTED / MANIFEST).exists():
        write_meta(run.path, {**run.meta, "schema_version": COMPACTED_VERSION})
    manifest = seal({"schema_version": COMPACTED_VERSION, "packs": listed})
    atomic.write_json(run.path / COMPACTED / MANIFEST, manifest)


def compact_by_itself(run: Run, rounds: int) -> None:
    """Compact a run that has grown by another 500 rounds; what goes wrong is only reported."""
    if rounds % FULL_ROUNDS:
        return
    try:
        compact(run)
    except SelfInstructError as error:
        log.warning("%s: its rounds stay as they are, in many files (%s)", run.path, error)
