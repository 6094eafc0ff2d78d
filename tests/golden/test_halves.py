"""Work of the past that was stopped half-way: it goes on, and does nothing twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.preferences.folder import read_scored, read_votes
from selfinstruct.train import machine
from tests.golden import halves, trainings
from tests.golden.halves import HALVES
from tests.golden.runs import EXPECTED_HALF, HALF, HERE
from tests.golden.trainings import STEPS, TINY, TRAININGS


def expected(name: str) -> dict[str, Any]:
    path = HERE / EXPECTED_HALF / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_every_folder_is_known() -> None:
    names = sorted([*HALVES, *TRAININGS])
    assert sorted(path.name for path in (HERE / HALF).iterdir()) == names
    assert sorted(path.stem for path in (HERE / EXPECTED_HALF).iterdir()) == names


@pytest.mark.parametrize("name", HALVES)
def test_what_is_left_is_asked_and_nothing_twice(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE)
    monkeypatch.setattr("os.fsync", lambda handle: None)
    out = Path(shutil.copytree(HALF / name, tmp_path / name))
    answered = {one.id for one in read_scored(out)}
    voted = read_votes(out)
    kept = [path for path in out.rglob("*.parquet") if path.parent.name in ("answers", "votes")]
    before = {path: path.read_bytes() for path in kept}
    found, wanted = json.loads(json.dumps(halves.go_on(name, out))), expected(name)
    assert found["asked"].keys() == wanted["asked"].keys()
    for model, requests in wanted["asked"].items():
        assert found["asked"][model] == requests
        assert answered.isdisjoint(requests["asked"])
    assert found["result"] == wanted["result"]
    assert {path: path.read_bytes() for path in kept} == before
    assert read_votes(out)[: len(voted)] == voted


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_goes_on_where_it_stopped(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trl")
    # They began on machines that are fast at bfloat16; only newer trainings keep that in their
    # folder (`tests/train/test_course.py`).
    began = replace(machine.this_machine(), bfloat16=True)
    monkeypatch.setattr(machine, "this_machine", lambda _=None: began)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(HERE / TINY, TINY)
    shutil.copytree(HERE / HALF / name, HALF / name)
    found, wanted = trainings.go_on(name, HALF / name), expected(name)
    assert found["trained"][0] == STEPS + 1
    assert found.keys() == wanted.keys()
    for key in ("trained", "waited_for", "tokens"):
        assert found[key] == wanted[key]
    for key in ("losses", "validation_losses", "history"):
        assert [one[0] for one in found.get(key, [])] == [one[0] for one in wanted.get(key, [])]
        values = [one[1] for one in wanted.get(key, [])]
        assert [one[1] for one in found.get(key, [])] == pytest.approx(values, rel=1e-3, abs=1e-3)
