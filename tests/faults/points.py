"""Strike a command at its n-th file operation, look at what is left, and run it again."""

from __future__ import annotations

import errno
import importlib
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.decisions.labels import read_labels
from selfinstruct.store import open_run
from tests.faults.commands import Command, become_scripted, begun
from tests.faults.compare import (
    COMMITTED,
    contents,
    damages_of_runs,
    gone,
    left_over,
    lost,
    meanings,
    recorded,
    runs,
)
from tests.faults.forks import Ended, run_in_fork, value_of_fork
from tests.faults.operations import Fault, Operation, watch


@dataclass(frozen=True)
class Course:
    """A command that nothing disturbs: what is there before and after, and its operations."""

    command: Command
    before: Path
    operations: Sequence[Operation]
    ends: Any


@dataclass(frozen=True)
class Outcome:
    """What became of a fault.

    lost: what was there before, or was committed, and is changed or gone.
    silent: a wrong end of which nobody was told.
    told: what the user saw; `traceback` says whether it was one.
    refused: the command, run again, did not end well.
    """

    command: str
    fault: Fault
    operation: Operation
    code: int
    told: str
    lost: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    refused: str = ""
    traceback: bool = False

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.silent or self.refused or self.traceback)


@dataclass
class Workplace:
    """A folder for one command at a time.

    world: where each command runs, always the same, since paths are recorded.
    """

    folder: Path
    world: Path = field(init=False)
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.world, self.log = self.folder / "world", self.folder / "log"

    def course(self, command: Command) -> Course:
        """Run a command undisturbed.

        Raises:
            AssertionError: it fails, or ends otherwise the second time.
        """
        before = self.folder / "before"
        self._do(lambda: begun(command, self.world))
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(self.world, before, symlinks=True)
        _, modules = value_of_fork(partial(self._count, command), self.log)
        ends = self.state(command)
        # With all modules here already, as they will be when it is struck: what is counted of a
        # library depends on whether it was loaded before.
        inherit(modules)
        self.restore(before)
        operations, _ = value_of_fork(partial(self._count, command), self.log)
        second = self.state(command)
        assert second == ends, (command.name, differing(ends, second))
        second = self.state(command)
        assert second == ends, (command.name, differing(ends, second))
        return Course(command, before, operations, ends)

    def _do(self, work: Callable[[], object]) -> None:
        ended = run_in_fork(lambda: int(work() is not None), self.log)
        assert ended.code == 0, ended.err

    def _count(self, command: Command) -> tuple[list[Operation], list[str]]:
        become_scripted(self.world)
        operations = watch(self.world)
        code = command.run()
        assert code == 0, code
        return list(operations.done), list(sys.modules)

    def restore(self, before: Path) -> None:
        shutil.rmtree(self.world, ignore_errors=True)
        shutil.copytree(before, self.world, symlinks=True)

    def run(self, command: Command, fault: Fault | None = None, again: bool = False) -> Ended:
        def work() -> int:
            become_scripted(self.world)
            watch(self.world, fault)
            return command.run(again)

        return run_in_fork(work, self.log)

    def state(self, command: Command) -> Any:
        """Return what a folder says in the end."""
        return value_of_fork(partial(_state, self.world, command), self.log)

    def other_rounds(self, rounds: Mapping[str, str]) -> list[str]:
        """Return the rounds that say something else than before."""
        if not rounds:
            return []
        now = value_of_fork(partial(recorded, self.world), self.log)
        return [f"round {name} is another" for name in differing(rounds, now)]

    def problems(self) -> list[str]:
        return value_of_fork(lambda: list(damages_of_runs(self.world)), self.log)


def inherit(modules: Sequence[str]) -> None:
    """Import what a command needed, so that the next forks have it."""
    for name in modules:
        if name not in sys.modules and not name.startswith("_"):
            with suppress(Exception):
                importlib.import_module(name)


def _state(world: Path, command: Command) -> Any:
    if not command.stands:
        return meanings(world)
    said: dict[str, str] = {}
    for path in runs(world):
        run = open_run(path)
        rows = [repr(row) for answers in Answers for row in export_rows(run, answers)]
        labels = sorted({(one.id, one.rater, str(one.rating)) for one in read_labels(run).entries})
        said |= {str(path): f"{rows} {labels}"}
    return said


def differing(first: Any, second: Any) -> list[str]:
    """Return the names whose values differ."""
    return sorted(key for key in {*first, *second} if first.get(key) != second.get(key))


def strike(place: Workplace, course: Course, fault: Fault) -> Outcome:
    """Strike a command once, look at what is left, run it again, and compare its end."""
    command, before = course.command, contents(course.before)
    place.restore(course.before)
    ended = place.run(command, fault)
    lacks, silent = [], []
    struck = contents(place.world)
    rounds = value_of_fork(partial(recorded, course.before), place.log) if command.repacks else {}
    lacks += place.other_rounds(rounds)
    losses = partial(lost, changes=command.may_change, repacks=command.repacks)
    lacks += gone(before, struck) if command.moves else losses(before, struck)
    if not command.moves:
        lacks += place.problems()
    ends = _end(place, command) if ended.code == 0 else None
    if ended.code == 0 and ends != course.ends and "cannot be removed" not in ended.err:
        silent.append(f"exit code 0, but {_named(differing(course.ends, ends or {}))}")
    struck_at = course.operations[min(fault.number, len(course.operations) - 1)]
    if fault.code is not None:
        silent += _untold(ended, fault, struck_at)
    refused = ""
    again = place.run(command, again=True)
    is_ready = bool(command.ready) and again.code == 2 and command.ready in again.err
    if again.code != 0 and not is_ready:
        refused = f"exit code {again.code}: {again.message}"
    after = contents(place.world)
    committed = {name: kept for name, kept in struck.items() if COMMITTED.search(name)}
    if command.moves:
        lacks += gone(before, after)
    else:
        lacks += losses(before, after)
        lacks += losses(committed, after)
        lacks += place.other_rounds(rounds)
    if not refused:
        lacks += place.problems()
        ends = _end(place, command)
        if ends != course.ends:
            silent.append(f"ends otherwise: {_named(differing(course.ends, ends or {}))}")
    silent += [f"left for ever: {name}" for name in left_over(place.world)]
    return Outcome(
        command.name,
        fault,
        struck_at,
        ended.code,
        ended.message if ended.code >= 0 else "",
        tuple(dict.fromkeys(lacks)),
        tuple(silent),
        refused,
        ended.has_traceback or again.has_traceback,
    )


def _end(place: Workplace, command: Command) -> Any:
    try:
        return place.state(command)
    except AssertionError as error:
        return {"unreadable": str(error)[-300:]}


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (" …" if len(names) > 4 else "")


# By the error's number: done all the same, engine or disk or training failed; of a path that may
# not be written also a wrong option.
_CODES = {errno.EACCES: (0, 2, 3)}


def _untold(ended: Ended, fault: Fault, operation: Operation) -> Iterator[str]:
    """Yield what a disk's refusal lacks: its exit code, and the name of the file."""
    if ended.code not in _CODES.get(fault.code or 0, (0, 3)):
        yield f"exit code {ended.code} for {fault.name}: {ended.message}"
    parts = [part.strip(".").removesuffix(".tmp") for part in Path(operation.path).parts]
    if ended.code != 0 and not any(part and part in ended.err for part in parts):
        yield f"no file is named: {ended.message}"


def tally(outcomes: Sequence[Outcome]) -> Counter[str]:
    """Count outcomes, and what was bad of them."""
    return Counter(
        faults=len(outcomes),
        lost=sum(bool(one.lost) for one in outcomes),
        silent=sum(bool(one.silent) for one in outcomes),
        tracebacks=sum(one.traceback for one in outcomes),
        refused=sum(bool(one.refused) for one in outcomes),
    )
