"""A training goes on elsewhere as it began: what one machine decided, the next one keeps."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.train import machine
from selfinstruct.train.checkpoints import Course, course_of
from selfinstruct.train.machine import Machine
from selfinstruct.train.watching import TrainProgress
from tests.train.sft_runs import QUICK, train

OPTIONS: dict[str, Any] = {"num_train_epochs": 3}


@pytest.fixture(autouse=True)
def the_machine_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: value for name, value in QUICK.items() if name != "bf16"}
    monkeypatch.setattr("tests.train.sft_runs.QUICK", without)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    here = machine.this_machine()

    def move(*, bfloat16: bool) -> None:
        there: Machine = replace(here, bfloat16=bfloat16)
        monkeypatch.setattr(machine, "this_machine", lambda _=None: there)

    return move


def stopped(model: LocalModel, out: Path) -> None:
    def stop(event: TrainProgress) -> None:
        if event.epoch > 1.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, out, listen=stop, options=OPTIONS, patience=0)


@pytest.mark.parametrize("began", [True, False])
def test_the_number_type_is_kept(
    began: bool, model: LocalModel, tmp_path: Path, on: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "selfinstruct")
    on(bfloat16=began)
    whole = train(model, tmp_path / "whole", options=OPTIONS, patience=0)
    stopped(model, tmp_path / "moved")
    on(bfloat16=not began)
    other = train(model, tmp_path / "other", options=OPTIONS, patience=0)
    moved = train(model, tmp_path / "moved", resume=True, options=OPTIONS, patience=0)
    assert moved.losses == whole.losses
    assert moved.validation_losses == whole.validation_losses
    assert other.losses != whole.losses
    assert ("slow on this machine" in caplog.text) == began


def test_packs_are_kept(model: LocalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as small:
        small.setattr("selfinstruct.train.recipes.sft._PACK", 60)
        whole = train(model, tmp_path / "whole", options=OPTIONS, patience=0)
        stopped(model, tmp_path / "moved")
    other = train(model, tmp_path / "other", options=OPTIONS, patience=0)
    moved = train(model, tmp_path / "moved", resume=True, options=OPTIONS, patience=0)
    assert moved.losses == whole.losses
    assert other.steps != whole.steps


def test_what_is_kept(model: LocalModel, tmp_path: Path, on: Any) -> None:
    assert course_of(tmp_path / "moved") is None
    on(bfloat16=False)
    stopped(model, tmp_path / "moved")
    course = course_of(tmp_path / "moved")
    assert isinstance(course, Course)
    assert course.bfloat16 is False
    assert course.fields["bf16"] is False
    assert course.fields["max_length"] == 512
    assert course.fields.keys() >= {"packing", "per_device_train_batch_size"}


def test_one_of_an_older_release_goes_on_as_this_machine_does(
    model: LocalModel, tmp_path: Path
) -> None:
    whole = train(model, tmp_path / "whole", options=OPTIONS, patience=0)
    stopped(model, tmp_path / "old")
    (tmp_path / "old/checkpoints/course.json").unlink()
    again = train(model, tmp_path / "old", resume=True, options=OPTIONS, patience=0)
    assert again.losses == whole.losses


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"bfloat16": True, "fields": 1})])
def test_a_damaged_course_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints/course.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"course\.json: is damaged"):
        course_of(tmp_path)
