"""`selfinstruct models probe`: the table, its JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.engines import registry
from selfinstruct.engines.scripted import ScriptedEngine
from tests.generate.test_probe import restarts_in_chat


@pytest.fixture(autouse=True)
def _scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFINSTRUCT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "required_engine", lambda _: None)
    monkeypatch.setattr(registry, "build_engine", lambda *_: ScriptedEngine(restarts_in_chat))


def probe(*arguments: object) -> int:
    return cli(["models", "probe", *map(str, arguments)])


def test_as_json(model_folder: Path, seeds_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert probe(model_folder, "--seeds", seeds_file, "--json") == 0
    probed = json.loads(capfd.readouterr().out)
    assert (probed["modes"]["propose"], probed["modes"]["instances"]) == ("base", "chat")
    assert probed["measured"] is None
    rows = {(row["stage"], row["mode"]): row for row in probed["rows"]}
    assert rows["propose", "chat"]["copies"] > 0 == rows["propose", "chat"]["kept"]


def test_for_people(
    model_folder: Path, seeds_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert probe(model_folder, "--seeds", seeds_file) == 0
    table = [line for line in capfd.readouterr().out.splitlines() if "chosen" in line]
    assert [line.split("│")[1].strip() for line in table] == ["propose", "classify", "instances"]


def test_no_such_seeds(model_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert probe(model_folder, "--seeds", "nowhere.jsonl") == 2
    assert "nowhere.jsonl" in capfd.readouterr().err
