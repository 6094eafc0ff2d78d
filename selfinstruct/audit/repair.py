"""Move what is damaged in a run aside, so that the rest of it can be used.

Nothing is deleted: all that is moved lies under `damaged/` in the run's folder afterwards, as it
lay before. A round that is damaged goes, and with it all later ones, since each was written from
those before it; so do commits of other kinds about them. `--resume` writes such rounds again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.audit.verify import Problem, verify_run
from selfinstruct.common import atomic, ids
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import StoreError
from selfinstruct.common.jsonlines import sum_path, torn_end, write_sum
from selfinstruct.decisions.labels import Labels, labels_path, read_labels
from selfinstruct.decisions.overrides import Overrides, overrides_path, read_overrides
from selfinstruct.store import Run, run_lock
from selfinstruct.store.commits import KINDS, SUPPLEMENTS, CommitKind
from selfinstruct.store.compact import cut_off, name_packs
from selfinstruct.store.folder import accept_meta
from selfinstruct.store.heads import write_heads
from selfinstruct.store.layout import (
    CALIBRATION,
    COMPACTED,
    DAMAGED,
    IMPORTS,
    INPUTS,
    ROUNDS,
    RUN_FILE,
)
from selfinstruct.store.packs import MANIFEST, packed_numbers, rounds_named, sound_packs
from selfinstruct.store.sealed import numbered

Read = Callable[[Run], Overrides | Labels]
_JOURNALS: tuple[tuple[Callable[[Run], Path], Read], ...] = (
    (overrides_path, read_overrides),
    (labels_path, read_labels),
)


@dataclass
class Repair:
    """What is moved, and what is lost by it.

    moved: files and folders, in the order in which they are moved.
    lines: damaged lines of journals, which are left out of them.
    rounds: numbers of the rounds and imports that go.
    problems: the damages.
    folder: where what was moved lies; None if nothing was.
    """

    problems: list[Problem]
    moved: list[Path] = field(default_factory=list)
    lines: dict[Path, int] = field(default_factory=dict)
    rounds: list[int] = field(default_factory=list)
    folder: Path | None = None


def plan_repair(run: Run) -> Repair:
    """Return what a repair of a run would do; changes nothing.

    Raises:
        StoreError: its config, inputs or calibration are damaged, which nothing can be made from.
    """
    problems = list(verify_run(run).problems)
    _refuse_hopeless(run, problems)
    plan = Repair(problems)
    first = min((p.round for p in problems if p.round is not None), default=None)
    if first is not None:
        present = {n for name in (ROUNDS, IMPORTS) for n in numbered(run.path / name)}
        present |= _packed(run)
        plan.rounds = sorted(number for number in present if number >= first)
        for name in (ROUNDS, IMPORTS):
            plan.moved += [
                run.path / name / path.name
                for path in sorted((run.path / name).glob("[0-9]*"))
                if path.name.isascii() and path.name.isdigit() and int(path.name) >= first
            ]
        plan.moved += _packs_to_move(run, first)
    for kind in KINDS:
        plan.moved += _commits_to_move(run, kind, problems, first)
    journals = {path(run) for path, _ in _JOURNALS}
    for problem in problems:
        if problem.path in journals | {sum_path(path) for path in journals}:
            continue
        if problem.round is None and problem.commit is None and problem.path not in plan.moved:
            plan.moved.append(problem.path)
    for locate, _ in _JOURNALS:
        damaged = sum(problem.path in (locate(run), sum_path(locate(run))) for problem in problems)
        if damaged:
            plan.lines[locate(run)] = damaged
    return plan


def repair(run: Run) -> Repair:
    """Move what is damaged aside; leaves a run that verifies.

    Raises:
        ConfigError: another process writes to the run.
        StoreError: as `plan_repair`; or a damage is left.
        WriteError: the disk refuses.
    """
    with run_lock(run.path):
        plan = plan_repair(run)
        if not plan.problems:
            return plan
        plan.folder = _new_folder(run.path)
        with refusal(run.path):
            (run.path / ROUNDS).mkdir(exist_ok=True)
            _carry_out(run, plan, plan.folder)
            if run.path / COMPACTED / MANIFEST in plan.moved:
                # What else is damaged is seen only now.
                more = plan_repair(run)
                _carry_out(run, more, plan.folder)
                plan = _joined(plan, more)
            rounds = {n for name in (ROUNDS, IMPORTS) for n in numbered(run.path / name)}
            rounds |= packed_numbers(run.path)
            heads = {kind.name: len(numbered(run.path / kind.name)) for kind in KINDS}
            write_heads(run.path, {ROUNDS: len(rounds), **heads})
        left = verify_run(run).problems
        if left:
            raise StoreError(f"{run.path}: is still damaged after the repair: {left[0]}")
        return plan


def _carry_out(run: Run, plan: Repair, folder: Path) -> None:
    if plan.rounds:
        _leave_packs(run, plan.rounds[0])
    # The last commit first: a repair that is interrupted leaves no gap.
    for path in sorted(plan.moved, reverse=True):
        _move(run, path, folder)
    if run.path / COMPACTED / MANIFEST in plan.moved:
        name_packs(run)
    for locate, read in _JOURNALS:
        if locate(run) in plan.lines:
            _mend(run, locate(run), read, folder)


def _joined(first: Repair, second: Repair) -> Repair:
    return Repair(
        [*first.problems, *second.problems],
        [*first.moved, *second.moved],
        {**first.lines, **second.lines},
        second.rounds,
        first.folder,
    )


def accept_config(path: Path) -> Path:
    """Take a run.yaml that somebody has edited as it is now; return where its copy lies.

    Raises:
        ConfigError: another process writes to the run.
        StoreError: it cannot be read.
    """
    with run_lock(path):
        kept = _new_folder(path) / RUN_FILE
        accept_meta(path, kept)
        return kept


def _packed(run: Run) -> set[int]:
    """Return the rounds in packs, those of damaged packs too."""
    packs, lost = sound_packs(run.path)
    return {n for pack in packs for n in range(pack.first, pack.last + 1)} | {*lost}


def _packs_to_move(run: Run, first: int) -> Iterator[Path]:
    """Yield the packs with rounds that go, and those of which nobody knows what they hold."""
    sound, lost = sound_packs(run.path)
    kept = {pack.folder for pack in sound if pack.last < first}
    if lost or any(pack.last >= first for pack in sound):
        for path in sorted((run.path / COMPACTED).iterdir()):
            if path not in kept and rounds_named(path.name) is not None:
                yield path


def _leave_packs(run: Run, first: int) -> None:
    """Have the manifest name the rounds before one alone, before the packs with others go."""
    sound, lost = sound_packs(run.path)
    if lost or any(pack.last >= first for pack in sound):
        cut_off(run, first)


def _refuse_hopeless(run: Run, problems: list[Problem]) -> None:
    for problem in problems:
        if problem.path in {run.path / name for name in (RUN_FILE, INPUTS, CALIBRATION)}:
            raise StoreError(f"{problem}. No repair can do without it")


def _commits_to_move(
    run: Run, kind: CommitKind, problems: list[Problem], first: int | None
) -> Iterator[Path]:
    """Yield the commits of a kind from the first that is damaged, or about a round that goes."""
    damaged = [p.commit[1] for p in problems if p.commit is not None and p.commit[0] is kind]
    numbers = numbered(run.path / kind.name)
    begin = min(damaged, default=len(numbers))
    if first is not None:
        about = (n for n in numbers if n < begin and _latest_round(run, kind, n) >= first)
        begin = min(about, default=begin)
    yield from (kind.path(run, number) for number in numbers if number >= begin)


def _latest_round(run: Run, kind: CommitKind, number: int) -> int:
    """Return the last round that a commit is about."""
    if kind is SUPPLEMENTS:
        return int(kind.info(run, number)["last_round"])
    path = kind.path(run, number) / kind.about_file
    try:
        table = pq.read_table(path, columns=["instruction_id"])
    except (OSError, pa.ArrowException):  # it is damaged: it goes anyway
        return -1
    found = table["instruction_id"].to_pylist()
    return max((ids.order(id)[0] for id in found if ids.is_candidate(id)), default=-1)


def _new_folder(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = path / DAMAGED / stamp
    number = 1
    while folder.exists():
        number += 1
        folder = path / DAMAGED / f"{stamp}-{number}"
    return folder


def _move(run: Run, path: Path, folder: Path) -> None:
    target = folder / path.relative_to(run.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() or path.is_symlink():
        path.rename(target)
        atomic.sync(path.parent)
        atomic.sync(target.parent)


def _mend(run: Run, path: Path, read: Read, folder: Path) -> None:
    """Leave the lines of a journal that can be read; the file as it was is kept."""
    damaged = {line.number for line in read(run).damaged}
    kept_as = folder / path.relative_to(run.path)
    kept_as.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _keep(path, kept_as)
        if sum_path(path).exists():
            _keep(sum_path(path), sum_path(kept_as))
        content = path.read_bytes()
        content = content[: len(content) - torn_end(path)]
        lines = [
            line
            for number, line in enumerate(content.split(b"\n"), start=1)
            if line.strip() and number not in damaged
        ]
        atomic.write_bytes(path, b"".join(line + b"\n" for line in lines))
        write_sum(path)
    elif sum_path(path).exists():
        _move(run, sum_path(path), folder)


def _keep(path: Path, kept_as: Path) -> None:
    """Keep a file that will be replaced: by a link, which is whole or not there."""
    try:
        os.link(path, kept_as)
    except OSError:  # not every file system has links
        atomic.write_bytes(kept_as, path.read_bytes())
    else:
        atomic.sync(kept_as.parent)
