"""A sample of hostile completions, faulty engines, and processes at one run at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.commands import warm
from tests.faults.faulty import FAULTS, run_faulty
from tests.faults.hostile import run_hostile
from tests.faults.together import new_run, readers_of_a_writer, two_writers


def test_hostile_completions_are_candidates_with_a_verdict(tmp_path: Path) -> None:
    found = run_hostile(tmp_path / "hostile", 120)
    assert found.problems == []
    assert found.completions >= 120
    assert found.candidates > found.completions / 2
    assert found.exported > found.accepted > 5


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_engine_loses_nothing(fault: str, tmp_path: Path) -> None:
    found = run_faulty(tmp_path / "run", fault, 0)
    assert (found.lost, found.silent, found.traceback) == ((), (), "")
    assert found.code in (0, 3)


def test_one_writes_and_others_read_whole_rounds(tmp_path: Path) -> None:
    warm()
    place, log = tmp_path / "place", tmp_path / "log"
    new_run(place, log)
    both = two_writers(place, log, (), 5)
    assert both.problems == []
    assert both.writers + both.refused == 2
    seen = readers_of_a_writer(place, log, 9)
    assert seen.problems == []
    assert seen.reads > 2
