"""The parts of the fault report: how many faults of each kind, and what became of them."""

from __future__ import annotations

import random
import re
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from tests.faults import disk, kills
from tests.faults.commands import Command, commands, warm
from tests.faults.damage import damages, everything, try_damage
from tests.faults.faulty import FAULTS, run_faulty
from tests.faults.forks import run_in_fork
from tests.faults.hostile import run_hostile
from tests.faults.operations import Fault
from tests.faults.points import Course, Outcome, Workplace, strike
from tests.faults.together import new_run, readers_of_a_writer, two_writers
from tests.faults.whole import make_whole

Advance = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Size:
    """How much to inject; `only` names commands."""

    every: int = 1
    damages: int = 1_000
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
        return "no message; the same command continued"
    if outcome.code == 0:
        return "exit code 0, finished in spite of the error"
    reason = re.search(r"\(([A-Z][a-z/ ]+)\)", outcome.told)
    return f"exit code {outcome.code}, {reason.group(1) if reason else outcome.told[:60]}"


def killed(folder: Path, size: Size, advance: Advance) -> Found:
    return points(folder, size, advance, kills.faults_of)


def refused(folder: Path, size: Size, advance: Advance) -> Found:
    return points(folder, size, advance, disk.faults_of)


def damaged(folder: Path, size: Size, advance: Advance) -> Found:
    """Damage copies of a folder with everything in it; each is read as commands read it."""
    warm()
    found = Found()
    half = replace(size, damages=size.damages // 2)
    for packed in (False, True):
        place = folder / ("compacted" if packed else "loose")
        place.mkdir(exist_ok=True)
        for number, name in enumerate(("whole", "other")):
            make = partial(make_whole, place / name, number, packed=packed)
            ended = run_in_fork(make, folder / "log")
            assert ended.code == 0, ended.err
        for result in _damage_all(place, half, advance):
            _note_damage(found, result, ", compacted" if packed else "")
    return found


def _note_damage(found: Found, result: tuple[str, str, str, str, int], of: str) -> None:
    kind, what, result_is, told, code = result
    row = found.row(kind + of)
    row.injected += 1
    row.silent += result_is == "silent"
    row.tracebacks += result_is == "traceback"
    if result_is == "detected":
        named = "names the file" if _names(told, what) else "names its folder or what it belongs to"
        row.saw[f"exit code {code}, {named}"] += 1
    else:
        row.saw[_READ.get(result_is, result_is)] += 1
    if result_is in ("silent", "traceback"):
        found.bad.append(f"{kind}{of}, {what}: {result_is} {told}")


_READ = {"harmless": "content unchanged, so no message"}


def _names(told: str, what: str) -> bool:
    """Whether a message names the file of a damage, which its description begins with."""
    return Path(re.split(r"[:, ]", what)[0]).name in told


def _damage_all(folder: Path, size: Size, advance: Advance) -> list[tuple[str, str, str, str, int]]:
    whole, other = folder / "whole", folder / "other"
    expected = everything(whole)
    results = []
    for n, damage in enumerate(damages(whole, other, size.damages, size.seed), start=1):
        outcome = try_damage(whole, folder / "work", damage, expected)
        results.append((damage.kind, damage.what, outcome.result, outcome.told, outcome.code))
        advance(n, size.damages, damage.kind)
    return results


# Completions of one hostile run: it stays small enough to be looked at.
_PER_RUN = 4000


def hostile(folder: Path, size: Size, advance: Advance) -> Found:
    """Have runs written by a hostile model, one after the other."""
    found, row = Found(), Row("completions")
    found.rows[row.name] = row
    seed = size.seed
    while row.injected < size.completions:
        wanted = min(_PER_RUN, size.completions - row.injected)
        done = row.injected
        told = lambda now, done=done: advance(done + now, size.completions, "hostile texts")  # noqa: E731
        place = folder / f"hostile{seed}"
        try:
            outcome = run_hostile(place, wanted, seed, told)
        except Exception:  # noqa: BLE001  # what must never come out
            row.tracebacks += 1
            found.bad.append(traceback.format_exc()[-600:])
            break
        row.injected += outcome.completions
        row.silent += len(outcome.problems)
        row.saw["candidates with a verdict"] += outcome.candidates
        row.saw["accepted candidates"] += outcome.accepted
        row.saw["exported rows (all formats together)"] += outcome.exported
        row.saw["replayed rounds"] += outcome.rounds
        found.bad += outcome.problems[:10]
        shutil.rmtree(place)
        seed += 1
    return found


def faulty(folder: Path, size: Size, advance: Advance) -> Found:
    """Have faulty engines write runs, and good ones go on with them."""
    found = Found()
    seeds = range(size.seed, size.seed + 5)
    for n, (fault, seed) in enumerate(product(FAULTS, seeds)):
        outcome = run_faulty(folder / f"engine{n}", fault, seed)
        row = found.row(fault)
        row.injected += 1
        row.lost += bool(outcome.lost)
        row.silent += bool(outcome.silent)
        row.tracebacks += bool(outcome.traceback)
        row.saw[f"exit code {outcome.code}"] += 1
        if outcome.lost or outcome.silent or outcome.traceback:
            what = [*outcome.lost[:2], *outcome.silent[:2], outcome.traceback]
            found.bad.append(f"{fault}: {'; '.join(filter(None, what))}")
        advance(n + 1, len(FAULTS) * len(seeds), fault)
    return found


def together(folder: Path, size: Size, advance: Advance) -> Found:
    """Let several processes at one run at once."""
    warm()
    found = Found()
    times = 10
    place, log = folder / "shared", folder / "log"
    new_run(place, log)
    answer = ("answer", "run", "--model", "./model", "--prompting", "base")
    answer += ("--set", "instances.sampling.max_tokens={}")
    for n in range(times):
        words = tuple(word.format(50 + n) for word in answer)
        results = {
            "two `generate --resume`": two_writers(place, log, (), 4 * n + 6),
            "two `answer`": two_writers(place, log, words, 0),
            "two readers of a `generate --resume`": readers_of_a_writer(place, log, 4 * n + 9),
        }
        for name, outcome in results.items():
            row = found.row(name)
            row.injected += 1
            row.silent += bool(outcome.problems)
            row.saw["a writer ended"] += outcome.writers
            row.saw[f"refused: {outcome.told}"] += outcome.refused
            row.saw["whole reads"] += outcome.reads
            row.saw = +row.saw
            found.bad += [f"{name}: {one}" for one in outcome.problems[:3]]
        advance(n + 1, times, "together")
    return found


PARTS: Mapping[str, Callable[[Path, Size, Advance], Found]] = {
    "kills": killed,
    "disk": refused,
    "damages": damaged,
    "completions": hostile,
    "engine": faulty,
    "together": together,
}
