"""Verify names every damage, of whatever kind."""

from __future__ import annotations

from pathlib import Path

from selfinstruct.audit.rating import rate
from selfinstruct.audit.sample import draw_sample, sample_path
from selfinstruct.audit.search import Filter, candidates
from selfinstruct.audit.verify import verify_run
from selfinstruct.decisions.decide import drop, restore
from selfinstruct.decisions.labels import Rating, labels_path
from selfinstruct.decisions.overrides import overrides_path
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.complete import complete
from selfinstruct.store import Run
from tests.conftest import varied_script


def decided(run: Run) -> None:
    """Leave a file of every kind in a run."""
    accepted = next(candidates(run, Filter(verdict="accepted")))
    drop(run, accepted["id"], by="ann")
    restore(run, next(candidates(run, Filter(reason="not_novel")))["id"], by="ann")
    complete(
        run,
        make_engine=lambda *_: ScriptedEngine(varied_script),
        model_progress=lambda *_: None,
        advance=lambda *_: None,
    )
    rate(run, draw_sample(run, 2).ids[0], Rating.A, "ann")


def test_a_whole_run(small: Run) -> None:
    decided(small)
    seen: list[int] = []
    found = verify_run(small, seen.append)
    assert found.problems == []
    assert found.rounds == len(small.rounds()) == len(seen)
    assert found.files == 3 * found.rounds + 3


def test_every_damage_is_named(small: Run) -> None:
    decided(small)
    files = [
        small.round_path(0) / "completions.parquet",
        small.round_path(1) / "instances.parquet",
        small.path / "supplements" / "00000" / "instructions.parquet",
    ]
    for file in files:
        file.write_bytes(file.read_bytes() + b"x")
    gone = small.round_path(1) / "instructions.parquet"
    gone.unlink()
    broken = small.round_path(2) / "round.json"
    broken.write_text("{")
    calibration = small.path / "calibration.parquet"
    calibration.write_bytes(b"")
    sample_path(small, 0).write_text("[]")
    for path in (overrides_path(small), labels_path(small)):
        with path.open("a") as handle:
            handle.write('{"id": "r0\n')
    problems = [str(problem) for problem in verify_run(small).problems]
    named: list[Path] = [*files, gone, broken, calibration, sample_path(small, 0)]
    named += [overrides_path(small), labels_path(small)]
    for path in named:
        assert sum(str(path) in problem for problem in problems) == 1, (path, problems)
    assert len(problems) == len(named)
    assert any(f"{overrides_path(small)}:3: is not JSON" in problem for problem in problems)


def test_a_missing_round_is_named_and_the_rest_read(small: Run) -> None:
    small.round_path(0).rename(small.path / "gone")
    [problem] = verify_run(small).problems
    assert "round 00000 is missing" in str(problem)
