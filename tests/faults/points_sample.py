"""A sample of kills, power cuts and refusals of the disk; scripts/fault_report.py has them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import disk, kills
from tests.faults.commands import commands, warm
from tests.faults.operations import Fault, Kind
from tests.faults.points import Course, Workplace, strike

# How many operations lie between two that are struck, by command: about ten faults each.
SAMPLE = {
    "generate --resume": 13,
    "init": 3,
    "audit drop": 3,
    "audit repair": 13,
    "compact": 3,
    "export over an earlier one": 3,
}


@pytest.fixture(scope="module")
def courses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Workplace, Course]]:
    warm()
    found = {}
    for command in commands():
        if command.name in SAMPLE:
            place = Workplace(tmp_path_factory.mktemp("place"))
            found[command.name] = place, place.course(command)
    return found


Faults = Callable[[Course, int, int], Iterator[Fault]]


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("faults_of", [kills.faults_of, disk.faults_of], ids=["kills", "disk"])
def test_nothing_is_lost_and_the_command_goes_on(
    name: str, faults_of: Faults, courses: dict[str, tuple[Workplace, Course]]
) -> None:
    place, course = courses[name]
    first = 1 if faults_of is kills.faults_of else 0
    for fault in faults_of(course, SAMPLE[name], first):
        outcome = strike(place, course, fault)
        assert outcome.is_good, outcome
        assert outcome.code == -9 if fault.code is None else outcome.code in (0, 2, 3)


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power cut"])
def test_a_kill_at_every_operation_of_a_journal_of_an_open_round(
    power: bool, courses: dict[str, tuple[Workplace, Course]]
) -> None:
    place, course = courses["generate --resume"]
    struck = [n for n, one in enumerate(course.operations) if one.path.endswith(".open")]
    assert {course.operations[number].kind for number in struck} >= {
        *(Kind.OPEN, Kind.WRITE, Kind.SYNC, Kind.REMOVE)
    }
    for number in struck:
        outcome = strike(place, course, Fault(number, power=power))
        assert outcome.is_good, outcome


def test_a_lost_round_would_be_seen(courses: dict[str, tuple[Workplace, Course]]) -> None:
    """The harness sees what it is for: a command that loses something, and tells nobody."""
    from dataclasses import replace

    place, course = courses["generate --resume"]

    def careless() -> int:
        for path in sorted(Path("run/rounds").glob("[0-9]*/instances.parquet"))[:1]:
            path.unlink()
        Path("notes.txt").write_text("yours")
        return 0

    broken = replace(course, command=replace(course.command, call=careless))
    outcome = strike(place, broken, Fault(10_000))
    assert not outcome.is_good
    assert any("instances.parquet is gone" in one for one in outcome.lost)
    assert "notes.txt is changed" in outcome.lost
    assert any("exit code 0, but" in one for one in outcome.silent)


def test_every_kind_of_operation_is_struck(
    courses: dict[str, tuple[Workplace, Course]],
) -> None:
    kinds = {one.kind for _, course in courses.values() for one in course.operations}
    assert kinds | {Kind.REMOVE} == set(Kind)


def test_every_command_that_writes_is_in_the_list() -> None:
    import typer.main

    from selfinstruct.cli.app import app

    def leaves(command: object, name: str) -> Iterator[str]:
        inner = getattr(command, "commands", None)
        for key, one in (inner or {}).items():
            yield from leaves(one, f"{name} {key}".strip())
        if inner is None:
            yield name

    reads = {"plan", "serve", "models list", "models prepare", "models probe"}
    reads |= {f"audit {name}" for name in ("summary", "list", "show", "verify", "replay")}
    # As `train sft`, by the one runner; as `audit drop`, by the one journal.
    alike = {"train dpo", "train kto", "train merge", "train reward", "train rl"}
    alike |= {"train distill", "audit undo"}
    struck = {command.name.partition(" --")[0] for command in commands()}
    struck |= {name.partition(" over")[0] for name in struck}
    assert set(leaves(typer.main.get_command(app), "")) - reads - alike <= struck
