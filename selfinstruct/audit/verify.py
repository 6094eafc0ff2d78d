"""Check everything in a run that can be damaged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from selfinstruct.audit.sample import read_sample, sample_numbers, sample_path
from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.decisions.labels import labels_path, read_labels
from selfinstruct.decisions.overrides import overrides_path, read_overrides
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run
from selfinstruct.store.commits import KINDS, CommitKind
from selfinstruct.store.compact import check_packed
from selfinstruct.store.layout import CALIBRATION, COMPACTED, IMPORTS, INPUTS, ROUNDS, RUN_FILE
from selfinstruct.store.open_rounds import is_open_journal, open_numbers, open_path, read_open
from selfinstruct.store.packs import (
    MANIFEST,
    ROUND_LINES,
    check_manifest,
    forget_packs,
    packed_numbers,
    packs_by_name,
    packs_of,
    read_manifest,
    rounds_named,
    sound_packs,
)
from selfinstruct.store.sealed import ChainError, commit_name, forget_known, numbered, sha256

_TORN = re.compile(r"\.[0-9]{5,}\.tmp")


@dataclass(frozen=True)
class Problem:
    """A damage.

    path: of the file or folder that is damaged.
    text: what is wrong with it, and what to do.
    round: number of the damaged round or import.
    commit: the damaged commit of another kind.
    """

    path: Path
    text: str
    round: int | None = None
    commit: tuple[CommitKind, int] | None = None

    def __str__(self) -> str:
        return self.text


@dataclass
class Verified:
    """The checked rounds and files, and each damage."""

    rounds: int = 0
    files: int = 0
    problems: Sequence[Problem] = field(default_factory=list)


def verify_run(run: Run, advance: Callable[[int], object] = id) -> Verified:
    """Compare every file of every commit with its checksum, and read every journal line.

    Unlike `Run.verify`, it continues after a damage, to name them all.

    Args:
        run: the run.
        advance: called with the number of each checked round.
    """
    forget_known()
    forget_packs()
    done = Verified()
    done.problems = list(_problems(run, done, advance))
    return done


def _problems(run: Run, done: Verified, advance: Callable[[int], object]) -> Iterator[Problem]:
    places = (RUN_FILE, INPUTS, CALIBRATION)
    for name, read in zip(places, (stored_config, stored_inputs, Run.calibration), strict=True):
        yield from _problem(partial(read, run), run.path / name)
    lost = list(_problem(partial(_read_manifest, run), run.path / COMPACTED / MANIFEST))
    yield from lost
    if not lost:  # else nobody knows which rounds there are
        yield from _rounds(run, done, advance)
        for kind in KINDS:
            yield from _commits(run, kind, done)
    for read_journal, path in ((read_overrides, overrides_path), (read_labels, labels_path)):
        yield from _problem(partial(read_journal, run), path(run))
        with _unread():
            yield from (Problem(line.path, str(line)) for line in read_journal(run).damaged)
    for number in sample_numbers(run):
        yield from _problem(partial(read_sample, run, number), sample_path(run, number))


def _read_manifest(run: Run) -> None:
    path = run.path / COMPACTED / MANIFEST
    if path.exists():
        read_manifest(path)
    folders = (run.path / ROUNDS, run.path / IMPORTS)
    check_manifest(run.path, {number for folder in folders for number in numbered(folder)})


def _rounds(run: Run, done: Verified, advance: Callable[[int], object]) -> Iterator[Problem]:
    folders = (run.path / ROUNDS, run.path / IMPORTS)
    loose = {number for folder in folders for number in numbered(folder)}
    try:
        packed = packed_numbers(run.path)
    except StoreError as error:
        # Nobody can say where the rounds from there on lie.
        first = min(sound_packs(run.path)[1], default=0)
        yield Problem(run.path / COMPACTED, str(error), round=first)
        return
    loose -= packed
    numbers = sorted(packed | loose)
    missing = _first_gap(numbers)
    try:
        run.rounds()
    except StoreError as error:
        yield Problem(run.path / ROUNDS / commit_name(missing), str(error), round=missing)
    yield from _packs(run, done, advance)
    is_whole = True
    for number in sorted(loose):
        before, is_whole = is_whole and number - 1 in {-1, *numbers}, True
        for problem in _files(run.round_path(number), partial(run.info, number), done, before):
            is_whole = False
            yield Problem(problem.path, problem.text, round=number)
        done.rounds += 1
        advance(number)
    for folder in folders:
        yield from _odd(folder)
    yield from _odd_packs(run.path / COMPACTED)
    yield from _unnamed_packs(run.path / COMPACTED, {*numbers})
    yield from _open_rounds(run)


def _open_rounds(run: Run) -> Iterator[Problem]:
    """Yield the damaged lines of journals of open rounds; a torn last line is none."""
    for number in open_numbers(run.path):
        path = open_path(run.path, number)
        try:
            damaged = read_open(path).damaged
        except StoreError as error:
            yield Problem(path, str(error))
            continue
        if damaged:
            lines = ", ".join(map(str, damaged[:5])) + (", …" if len(damaged) > 5 else "")
            yield Problem(
                path,
                f"{path}:{lines}: is damaged; the run goes on without these lines, and asks for "
                "their completions again",
            )


def _packs(run: Run, done: Verified, advance: Callable[[int], object]) -> Iterator[Problem]:
    """Yield the damages of packs: of each round in them, or of a whole pack."""
    for pack in packs_of(run.path):
        broken = set()
        for name, checksum in pack.info["checksums"].items():
            try:
                if sha256(pack.folder / name) != checksum:
                    broken.add(name)
            except OSError:
                broken.add(name)
            done.files += 1
        if ROUND_LINES in broken:
            path = pack.folder / ROUND_LINES
            text = f"{path}: is not what was committed (checksum); {_RESTORE}"
            yield Problem(path, text, round=pack.first)
            continue
        for packed in pack.rounds:
            try:
                run.check_commit(packed.number, run.info(packed.number))
                check_packed(pack, packed)
            except StoreError as error:
                yield Problem(pack.folder, str(error), round=packed.number)
                broken.clear()
            done.rounds += 1
            advance(packed.number)
        for name in sorted(broken):  # what no round shows: the end of a file
            path = pack.folder / name
            text = f"{path}: is not what was committed (checksum); {_RESTORE}"
            yield Problem(path, text, round=pack.last)


def _commits(run: Run, kind: CommitKind, done: Verified) -> Iterator[Problem]:
    numbers = numbered(run.path / kind.name)
    missing = _first_gap(numbers)
    try:
        kind.numbers(run)
    except StoreError as error:
        yield Problem(kind.path(run, missing), str(error), commit=(kind, missing))
    is_whole = True
    for number in numbers:
        before, is_whole = is_whole and number - 1 in {-1, *numbers}, True
        info = partial(kind.info, run, number)
        for problem in _files(kind.path(run, number), info, done, before):
            is_whole = False
            yield Problem(problem.path, problem.text, commit=(kind, number))
    yield from _odd(run.path / kind.name)


def _first_gap(numbers: Sequence[int]) -> int:
    """Return the first number that is missing, or the one after the last."""
    return min(set(range(len(numbers) + 1)) - set(numbers))


def _files(
    folder: Path, info: Callable[[], Mapping[str, Any]], done: Verified, before_is_whole: bool
) -> Iterator[Problem]:
    """Yield every file of a commit that differs; of a broken chain, only the first end."""
    try:
        checksums = info()["checksums"]
    except ChainError as error:
        if before_is_whole:
            yield Problem(folder, str(error))
        return
    except StoreError as error:
        yield Problem(folder, str(error))
        return
    for name, checksum in checksums.items():
        path = folder / name
        try:
            is_whole = sha256(path) == checksum
        except OSError as error:
            yield Problem(path, f"{path}: cannot be read ({why(error)}); {_RESTORE}")
            continue
        done.files += 1
        if not is_whole:
            yield Problem(path, f"{path}: is not what was committed (checksum); {_RESTORE}")


def _odd(folder: Path) -> Iterator[Problem]:
    """Yield what lies among commits and is none."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = path.name
        is_commit = name.isascii() and name.isdigit() and name == commit_name(int(name))
        if not is_commit and not _TORN.fullmatch(name) and not is_open_journal(name):
            yield Problem(path, f"{path}: is not a commit; move it away")


def _odd_packs(folder: Path) -> Iterator[Problem]:
    """Yield what lies among packs and is none."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = path.name
        if name != MANIFEST and rounds_named(name) is None and not name.startswith("."):
            yield Problem(path, f"{path}: is not a pack of rounds; move it away")


def _unnamed_packs(folder: Path, present: Set[int]) -> Iterator[Problem]:
    """Yield the packs that no manifest names, with rounds that are nowhere else.

    A repair that was interrupted leaves them. A manifest that is lost is told of by itself.
    """
    manifest = folder / MANIFEST
    if not manifest.exists():
        return
    named = {one["name"] for one in read_manifest(manifest)}
    for name, rounds in sorted(packs_by_name(folder).items()):
        if name not in named and not present >= {*rounds}:
            text = (
                f"{folder / name}: is named in no manifest, and its rounds are nowhere else, as if "
                "left by a repair that was interrupted; move it aside with: selfinstruct audit "
                f"repair {folder.parent}"
            )
            yield Problem(folder / name, text)


def _problem(read: Callable[[], object], path: Path) -> Iterator[Problem]:
    """Yield the damage that reading something finds."""
    try:
        read()
    except (StoreError, ConfigError) as error:
        yield Problem(path, str(error))


@contextmanager
def _unread() -> Iterator[None]:
    """Pass over what was reported already."""
    try:
        yield
    except StoreError:
        return


_RESTORE = "restore it from a backup"
