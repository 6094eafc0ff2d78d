"""A sample of damages: whatever changes what is read is told, by exit code 4 and never otherwise.

`scripts/fault_report.py` tries many more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.audit.rating import rate
from selfinstruct.audit.repair import repair
from selfinstruct.audit.sample import draw_sample
from selfinstruct.audit.search import Filter, candidates
from selfinstruct.audit.verify import verify_run
from selfinstruct.common.errors import SelfInstructError, StoreError
from selfinstruct.dataset.read import run_rows
from selfinstruct.decisions.decide import drop, restore
from selfinstruct.decisions.labels import Rating
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.complete import complete
from selfinstruct.preferences.sample import prompts_of
from selfinstruct.store import Run, open_run, run_lock
from selfinstruct.store.compact import compact
from selfinstruct.train.data.rows import read_rows
from tests.conftest import varied_script
from tests.faults.damage import damages, everything, try_damage

Generate = Callable[..., tuple[Run, str]]


def finished(run: Run) -> Path:
    """Leave a file of every kind in a run."""
    for id in [row["id"] for row in candidates(run, Filter(verdict="accepted"))][:3]:
        drop(run, id, by="ann")
    restore(run, next(candidates(run, Filter(reason="not_novel")))["id"], by="ann")
    complete(
        run,
        make_engine=lambda *_: ScriptedEngine(varied_script),
        model_progress=lambda *_: None,
        advance=lambda *_: None,
    )
    for id in draw_sample(run, 2).ids[:3]:
        rate(run, id, Rating.A, "ann")
    return run.path


@pytest.fixture(params=[False, True], ids=["loose", "compacted"])
def pair(
    small: Run, tmp_path: Path, generate: Generate, request: pytest.FixtureRequest
) -> tuple[Path, Path]:
    """A run, and another of the same shape; the first rounds of both may be compacted."""
    other, _ = generate(tmp_path / "other", stop__target=25, seed=1)
    for run in (small, other) if request.param else ():
        with run_lock(run.path):
            compact(run)
        model = run.meta["config"]["model"]["name"]
        generate(run.path, resume=True, stop__target=40, model__name=model)
    return finished(open_run(small.path)), finished(open_run(other.path))


def test_damages_are_told(pair: tuple[Path, Path], tmp_path: Path) -> None:
    whole, other = pair
    expected = everything(whole)
    found = Counter[str]()
    for damage in damages(whole, other, 90):
        outcome = try_damage(whole, tmp_path / "work", damage, expected)
        assert outcome.result in ("detected", "harmless"), outcome
        found[outcome.result] += 1
    assert found["detected"] > 60


def test_data_of_a_run_that_lost_a_decision_is_refused(small: Run) -> None:
    path = finished(small)
    assert list(run_rows(path))
    journal = path / "overrides.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    told = r"overrides\.jsonl: lost .* bytes"
    with pytest.raises(StoreError, match=told):
        list(run_rows(path))
    with pytest.raises(StoreError, match=told):
        prompts_of(open_run(path))
    with pytest.raises(StoreError, match=told):
        read_rows(path)


def test_a_repair_leaves_a_run_that_verifies(pair: tuple[Path, Path], tmp_path: Path) -> None:
    whole, other = pair
    expected = everything(whole)
    mended = 0
    for damage in damages(whole, other, 36, seed=1):
        outcome = try_damage(whole, tmp_path / "work", damage, expected)
        if outcome.result != "detected":
            continue
        path = tmp_path / "work" / whole.name
        try:
            done = repair(open_run(path))
        except SelfInstructError:
            # What nothing can be made from: config, inputs, calibration.
            ours = ("rounds/", "compacted/", "supplements/", "overrides", "labels")
            assert not damage.what.startswith(ours)
            continue
        assert done.problems, damage
        assert verify_run(open_run(path)).problems == []
        everything(path)
        mended += 1
    assert mended > 15
