"""What the commands print, for people and for programs."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.engines.scripted import ScriptedEngine
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


@pytest.mark.parametrize(
    ("age", "expected"), [(3, "running (last update 3 s ago)"), (7200, "cut off while running")]
)
def test_summary_of_a_run_that_was_cut_off(
    run: Run,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    age: float,
    expected: str,
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # however slow this machine is
    status = {"state": "running", "pid": 1, "heartbeat": now - age}
    (run.path / "status.json").write_text(json.dumps(status))
    assert cli(["audit", "summary", str(run.path)]) == 0
    assert expected in capfd.readouterr().out


def test_summary_shows_names_as_they_are(
    tmp_path: Path, generate: Generate, capfd: pytest.CaptureFixture[str]
) -> None:
    run, _ = generate(tmp_path / "[red]run", stop__target=3)
    assert cli(["audit", "summary", str(run.path)]) == 0
    assert "[red]run: stopped" in capfd.readouterr().out


def test_names_that_the_command_line_repeats_are_those_of_the_flows() -> None:
    """So that --help loads nothing, the command line names them itself."""
    from selfinstruct.cli import whatif as command
    from selfinstruct.cli.export import AnswersName
    from selfinstruct.dataset.rows import Answers
    from selfinstruct.verdicts import whatif

    assert {str(one) for one in AnswersName} == {str(one) for one in Answers}
    assert command.PENDING == whatif.PENDING


def test_an_engine_that_dies_exits_with_3_and_says_how_to_go_on(
    tmp_path: Path,
    model_folder: Path,
    seeds_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from tests.conftest import varied_script
    from tests.engines.kinds import stand_in_for_vllm

    out = tmp_path / "run"
    arguments = ["generate", "--out", str(out), "--model", str(model_folder), "--target", "30"]
    arguments += ["--seeds", str(seeds_file), "--set", "propose.per_round=4"]
    monkeypatch.setattr("sys.argv", ["selfinstruct", *arguments])
    for death, code in ((60, 3), (None, 0)):
        stand_in_for_vllm(monkeypatch, partial(ScriptedEngine, varied_script, die_after=death))
        assert cli([*arguments, "--resume"]) == code
    message = capfd.readouterr().err
    assert "Traceback" not in message
    assert "the scripted engine died after 60" in message
    assert f"selfinstruct {shlex.join(arguments)} --resume" in message


def test_list_as_json_lines(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", "list", str(run.path), "--reason", "not_novel", "--json"]
    assert cli(arguments) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows
    assert all(row["rouge_l"] > 0.7 and row["neighbour_id"] for row in rows)


def test_list_refuses_a_reason_that_there_is_not(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["audit", "list", str(run.path), "--reason", "boring"]) == 2
    assert "there is none; there are: parse_failure" in capsys.readouterr().err


def test_list_shows_model_text_as_it_is(
    tmp_path: Path, generate: Generate, capfd: pytest.CaptureFixture[str]
) -> None:
    run, _ = generate(tmp_path / "run", lambda request: " Say [bold]hello[/bold] to [/red] ants")
    assert cli(["audit", "list", str(run.path), "--limit", "1"]) == 0
    assert "[bold]hello[/b" in "".join(capfd.readouterr().out.split())


def test_model_text_cannot_steer_the_terminal(
    tmp_path: Path, generate: Generate, capfd: pytest.CaptureFixture[str]
) -> None:
    run, _ = generate(
        tmp_path / "run", lambda request: " Say \x1b]0;owned\x07 and \x1b[2J to all the ants."
    )
    assert cli(["audit", "list", str(run.path), "--limit", "1"]) == 0
    text = capfd.readouterr().out
    assert "\x1b]0" not in text
    assert "\x1b[2J" not in text


def test_replay(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["audit", "replay", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == []


def test_replay_with_a_difference_exits_with_4(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    text = (run.path / "run.yaml").read_text()
    assert "threshold: 0.7" in text
    (run.path / "run.yaml").write_text(text.replace("threshold: 0.7", "threshold: 0.1"))
    assert cli(["audit", "replay", str(run.path)]) == 4
    assert "--accept-config" in capfd.readouterr().err
    assert cli(["audit", "repair", str(run.path), "--accept-config"]) == 0
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


@pytest.mark.parametrize("again", ["itself", "by another path", "a copy"])
def test_merging_a_run_with_itself_is_said(
    again: str, run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    second = {
        "itself": run.path,
        "by another path": run.path / ".." / run.path.name,
        "a copy": tmp_path / "copy",
    }[again]
    if again == "a copy":
        shutil.copytree(run.path, second)
    assert cli(["merge", str(run.path), str(second), "--out", str(tmp_path / "both")]) == 0
    captured = capfd.readouterr()
    assert f"{second} is the same run as {run.path}; leave one out" in captured.err
    assert "of 30 in 2 runs" in captured.out


def test_merging_two_runs_says_nothing_of_the_kind(
    run: Run, generate: Generate, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = generate(tmp_path / "other", stop__target=5, seed=4)[0]
    assert cli(["merge", str(run.path), str(other.path), "--out", str(tmp_path / "both")]) == 0
    assert "the same run" not in capfd.readouterr().err
