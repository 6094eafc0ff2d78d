"""What the commands print, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.store import Run

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=15)[0]


def test_summary_as_json(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["audit", "summary", str(run.path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["tasks"] == data["instructions"]["accepted"] == 15
    assert sum(data["instructions"].values()) == data["candidates"]


def test_summary_for_people(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli(["audit", "summary", str(run.path)]) == 0
    text = capfd.readouterr().out
    assert "15 of 15 tasks" in text
    assert "not_novel" in text


def test_list_as_json_lines(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", "list", str(run.path), "--reason", "not_novel", "--json"]
    assert cli(arguments) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows
    assert all(row["rouge_l"] > 0.7 and row["neighbour_id"] for row in rows)


def test_list_shows_model_text_as_it_is(
    tmp_path: Path, generate: Generate, capfd: pytest.CaptureFixture[str]
) -> None:
    run, _ = generate(tmp_path / "run", lambda request: " Say [bold]hello[/bold] to [/red] ants")
    assert cli(["audit", "list", str(run.path), "--limit", "1"]) == 0
    assert "[/bold]" in "".join(capfd.readouterr().out.split())


def test_replay(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["audit", "replay", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == []


def test_replay_with_a_difference_exits_with_4(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    text = (run.path / "run.yaml").read_text()
    assert "threshold: 0.7" in text
    (run.path / "run.yaml").write_text(text.replace("threshold: 0.7", "threshold: 0.1"))
    assert cli(["audit", "replay", str(run.path)]) == 4
    assert "verdict" in capfd.readouterr().out


def test_export_says_how_to_load(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data.jsonl"
    assert cli(["export", str(run.path), "--format", "messages", "--out", str(out)]) == 0
    assert f'load_dataset("json", data_files="{out}")' in capfd.readouterr().err
    assert all("messages" in json.loads(line) for line in out.read_text().splitlines())


def test_models_list(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli(["models", "list"]) == 0
    text = capfd.readouterr().out
    assert "bundled" in text
    assert "gemma-3-270m" in text


def test_version(capfd: pytest.CaptureFixture[str]) -> None:
    from selfinstruct import __version__

    assert cli(["--version"]) == 0
    assert capfd.readouterr().out.strip() == f"selfinstruct {__version__}"
