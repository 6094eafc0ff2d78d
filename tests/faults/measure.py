"""The parts of the fault report: how many faults of each kind, and what became of them."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import disk, kills
from tests.faults.commands import Command, commands, warm
from tests.faults.operations import Fault
from tests.faults.points import Course, Outcome, Workplace, strike

Advance = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Size:
    """How much to inject; `only` names commands."""

    every: int = 1
    damages: int = 600
    completions: int = 20_000
    seed: int = 0
    only: Sequence[str] | None = None


@dataclass
class Row:
    """One line of the report: a kind of fault, how many, and what became of them.

    saw: how often the user saw what.
    """

    name: str
    injected: int = 0
    lost: int = 0
    silent: int = 0
    tracebacks: int = 0
    refused: int = 0
    saw: Counter[str] = field(default_factory=Counter)


@dataclass
class Found:
    """What a part found; `bad` describes each fault that had a bad end."""

    rows: dict[str, Row] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    def row(self, name: str) -> Row:
        return self.rows.setdefault(name, Row(name))

    def total(self) -> dict[str, int]:
        names = ("injected", "lost", "silent", "tracebacks", "refused")
        return {name: sum(getattr(row, name) for row in self.rows.values()) for name in names}

    def as_json(self) -> dict[str, Any]:
        rows = [{**vars(row), "saw": dict(row.saw.most_common(4))} for row in self.rows.values()]
        total = self.total()
        return {"total": total, "rows": rows, "bad_count": len(self.bad), "bad": self.bad[:60]}


def points(
    folder: Path,
    size: Size,
    advance: Advance,
    faults_of: Callable[[Course, int, int], Iterator[Fault]],
) -> Found:
    """Strike every command that writes; those that train last, for what they import."""
    warm()
    found = Found()
    wanted = [one for one in commands() if not size.only or one.name in size.only]
    place = Workplace(folder / "points")
    for number, command in enumerate(wanted):
        course = place.course(command)
        every = size.every * _slower(command)
        faults = list(faults_of(course, every, random.Random(size.seed).randrange(every)))
        for n, fault in enumerate(faults):
            _note(found, strike(place, course, fault))
            done = number * 1000 + 1000 * (n + 1) // len(faults)
            advance(done, 1000 * len(wanted), f"{command.name}, {n + 1} of {len(faults)}")
    return found


def _slower(command: Command) -> int:
    """Return how many times fewer faults a command gets: each is seconds of training."""
    return 3 if command.trains else 1


def _note(found: Found, outcome: Outcome) -> None:
    row = found.row(outcome.command)
    row.injected += 1
    row.lost += bool(outcome.lost)
    row.silent += bool(outcome.silent)
    row.tracebacks += outcome.traceback
    row.refused += bool(outcome.refused)
    row.saw[_seen(outcome)] += 1
    if not outcome.is_good:
        where = f"{outcome.operation.kind} {outcome.operation.path}"
        what = [*outcome.lost[:2], *outcome.silent[:2], outcome.refused[:200]]
        what += ["traceback"] * outcome.traceback
        told = "; ".join(one for one in what if one)
        found.bad.append(f"{outcome.command}, {outcome.fault.name} at {where}: {told}")


def _seen(outcome: Outcome) -> str:
    if outcome.code < 0:
        return "nothing; the same command went on"
    if outcome.code == 0:
        return "exit code 0: done all the same"
    reason = re.search(r"\(([A-Z][a-z/ ]+)\)", outcome.told)
    return f"exit code {outcome.code}: {reason.group(1) if reason else outcome.told[:60]}"


def killed(folder: Path, size: Size, advance: Advance) -> Found:
    return points(folder, size, advance, kills.faults_of)


def refused(folder: Path, size: Size, advance: Advance) -> Found:
    return points(folder, size, advance, disk.faults_of)


PARTS: Mapping[str, Callable[[Path, Size, Advance], Found]] = {"kills": killed, "disk": refused}
