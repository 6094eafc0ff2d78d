"""`selfinstruct best-of`: its arguments, and what a user is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.records import Request
from selfinstruct.engines.registry import EngineKind
from selfinstruct.engines.scripted import ScriptedEngine
from tests.conftest import draw
from tests.engines.kinds import stand_in_for_vllm


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def script(request: Request) -> str:
        return f" Paris {'or so ' * draw(request, 'length', 4)}{draw(request, 'which', 90)}."

    def with_engine(loaded: Any, work: Any, advance: Any, *, kind: EngineKind) -> Any:
        assert kind.name == "vllm"
        return work(ScriptedEngine(script), advance=advance)

    monkeypatch.setattr("selfinstruct.engines.isolated.with_engine", with_engine)
    stand_in_for_vllm(monkeypatch)
    file = tmp_path / "tasks.jsonl"
    rows = [
        {"instruction": f"Name capital {n}.", "instances": [{"output": "Paris"}]} for n in range(12)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_best_of(
    tasks: Path, model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["best-of", str(tasks), "--policy", str(model_folder), "--k", "3"]
    arguments += ["--out", str(out), "--limit", "10"]
    assert cli(arguments) == 0
    captured = capfd.readouterr()
    assert "best of n by likelihood, measured by reference" in captured.out
    assert "10 answers chosen, one of 3 to each of 10 tasks" in captured.out
    assert f"selfinstruct train sft --data {out}/best.jsonl" in captured.err
    rows = [json.loads(line) for line in (out / "best.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == [f"Name capital {n}." for n in range(10)]
    assert cli(arguments) == 2
    assert "holds chosen answers already" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--scorer", "reference"], "would choose by the solution"),
        (["--measure", "likelihood"], "--measure likelihood: is the labeller that chooses"),
        (["--scorer", "judge"], "--judge: names the model"),
        (["--measure", "reward"], "--reward-model: names the model"),
        (["--scorer", "reward", "--reward-model", "MODEL"], "is not a reward model"),
        (["--k", "1"], "--k"),
    ],
)
def test_what_cannot_be_chosen(
    tasks: Path,
    model_folder: Path,
    tmp_path: Path,
    more: list[str],
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    more = [str(model_folder) if word == "MODEL" else word for word in more]
    arguments = ["best-of", str(tasks), "--policy", str(model_folder)]
    assert cli([*arguments, "--out", str(tmp_path / "out"), *more]) == 2
    assert message in capfd.readouterr().err
