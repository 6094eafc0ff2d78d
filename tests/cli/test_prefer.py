"""`selfinstruct prefer`: its arguments, and what a user is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.records import Request
from selfinstruct.engines.registry import EngineKind
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.store import Run
from selfinstruct.train.data.preference_rows import read_preferences
from tests.conftest import Generate, draw
from tests.engines.kinds import stand_in_for_vllm
from tests.inputs.some_rows import data, question


@pytest.fixture
def run(generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def script(request: Request) -> str:
        return f" An answer {'very ' * draw(request, 'length', 5)}{draw(request, 'which', 90)}."

    def with_engine(loaded: Any, work: Any, advance: Any, *, kind: EngineKind) -> Any:
        assert kind.name == "vllm"
        return work(ScriptedEngine(script), advance=advance)

    monkeypatch.setattr("selfinstruct.engines.isolated.with_engine", with_engine)
    stand_in_for_vllm(monkeypatch)
    return generate(tmp_path / "run", stop__target=14)[0]


def test_prefer(
    run: Run, model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["prefer", str(run.path), "--policy", str(model_folder), "--held-out", "2"]
    arguments += ["--out", str(tmp_path / "out"), "--k", "3"]
    assert cli(arguments) == 0
    told = capfd.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert f"{report['pairs']['train']} pairs to train on" in told
    assert "the longer answer is chosen in" in told
    assert cli(arguments) == 2
    assert "holds preferences already" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--labeller", "judge"], 2, "--judge: names the model"),
        (["--judge", "./nowhere", "--labeller", "judge"], 2, "no such folder"),
        (["--judge", "bundled"], 2, "--judge: it is not used"),
        (["--labeller", "reward"], 2, "--reward-model: names the model"),
        (["--judge-prompt", "x.jinja"], 2, "--judge-prompt: there is no judge"),
        (["--held-out", "500"], 2, "too few to hold 500 out"),
        (["--labeller", "dice"], 2, "dice"),
    ],
)
def test_what_cannot_be_preferred(
    run: Run,
    model_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    message: str,
) -> None:
    arguments = ["prefer", str(run.path), "--policy", str(model_folder)]
    assert cli([*arguments, "--out", str(tmp_path / "out"), *more]) == code
    assert message in capfd.readouterr().err


def test_too_few_pairs_say_how_to_pair_anew(
    run: Run, model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["prefer", str(run.path), "--policy", str(model_folder)]
    arguments += ["--out", str(tmp_path / "out")]
    assert cli(arguments) == 2
    told = capfd.readouterr().err
    assert "only" in told
    assert "--resume" in told
    assert cli([*arguments, "--held-out", "2", "--resume"]) == 0


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("name", ["alpaca", "preference", "texts", "kto", "messages"])
def test_the_prompts_of_a_file(
    name: str, model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = data(tmp_path, name, 14)
    arguments = ["prefer", str(file), "--policy", str(model_folder), "--held-out", "2", "--k", "3"]
    assert cli([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert f"read 14 rows as {name}" in " ".join(capfd.readouterr().err.split())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["run"], report["prompts"]) == (f"{name}.json", 14)
    pairs = read_preferences(tmp_path / "out")
    assert {row.messages[-1]["content"] for row in pairs.train} <= {question(n) for n in range(14)}


@pytest.mark.usefixtures("run")
def test_a_labeller_that_wants_answers(
    model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = data(tmp_path, "texts", 14)
    arguments = ["prefer", str(file), "--policy", str(model_folder), "--labeller", "reference"]
    assert cli([*arguments, "--out", str(tmp_path / "out")]) == 2
    told = " ".join(capfd.readouterr().err.split())
    assert "reference: 14 of 14 tasks have no answer to compare with (the first: 1)" in told
    assert not (tmp_path / "out").exists()
