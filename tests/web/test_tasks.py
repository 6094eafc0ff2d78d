"""However a run is asked, it has as many tasks: those of the run as it stands.

It stands here because the web may import all that counts. The numbers are worked out by hand
(`decide_everything`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from rich.console import Console

from selfinstruct.audit.queries import summarise
from selfinstruct.cli.app import run as cli
from selfinstruct.cli.watch import Watcher
from selfinstruct.dataset.card import dataset_card
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.decisions.decide import drop, undo
from selfinstruct.preferences.sample import prompts_of
from selfinstruct.store import Run
from selfinstruct.train.data.rows import read_rows
from selfinstruct.web.root import run_line
from tests.decisions.decided import decide_everything

Generate = Callable[..., tuple[Run, str]]
RECORDED, NOW = 12, 14


@pytest.fixture
def decided(root: Path, generate: Generate) -> Run:
    """A run of 12 tasks, with decisions of every kind; what was restored is completed."""
    run, _ = generate(root / "first", stop__target=RECORDED)
    decide_everything(run)
    return run


def test_every_part_counts_the_same_tasks(
    decided: Run, client: TestClient, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks = {row.instruction_id for row in export_rows(decided)}
    assert len(tasks) == NOW
    told = {
        "summary": summarise(decided).tasks,
        "list of runs": run_line(decided).tasks,
        "API, list": client.get("/api/v1/runs").json()[0]["tasks"],
        "API": client.get("/api/v1/runs/first").json()["tasks"],
        "training": len({row.instruction for row in read_rows(decided.path).rows}),
        "prompts": len({prompt.group for prompt in prompts_of(decided)}),
    }
    assert told == dict.fromkeys(told, NOW)
    assert re.search(rf"\b{NOW} tasks", dataset_card(decided, Format.ALPACA, Answers.OWN))
    shown = f"{NOW} <small>{RECORDED} of {RECORDED} by its rounds"
    assert f'<td class="number">{shown}' in client.get("/").text
    assert f"<dt>tasks</dt><dd>{shown}" in client.get("/runs/first").text
    assert cli(["audit", "summary", str(decided.path)]) == 0
    assert f"{NOW} tasks (the rounds gave 12 of 12)" in capfd.readouterr().out
    file = StringIO()
    Watcher(Console(file=file, width=100)).finished(decided, "target")
    assert f"{NOW} ({RECORDED} of the rounds) from" in file.getvalue()


def test_verdicts_are_those_of_the_rules_and_stand_beside_what_people_decided(
    decided: Run, client: TestClient, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is counted by verdict is what a filter by verdict finds, decisions or none."""
    assert cli(["audit", "summary", str(decided.path), "--json"]) == 0
    summary = json.loads(capfd.readouterr().out)
    assert summary["instructions"]["accepted"] == summary["recorded_tasks"] == RECORDED
    assert (summary["standing"]["accepted"], summary["standing"]["dropped"]) == (NOW, 2)
    assert sum(summary["standing"].values()) == sum(summary["instructions"].values())
    assert cli(["audit", "list", str(decided.path), "--verdict", "accepted", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert len(rows) == RECORDED
    assert sorted(row["override"] or "" for row in rows)[-2:] == ["drop", "edit"]
    query = {"verdict": "accepted", "limit": 1}
    found = client.get("/api/v1/runs/first/candidates", params=query).json()
    assert found["page"]["total"] == found["by_reason"]["accepted"] == RECORDED
    assert cli(["audit", "summary", str(decided.path)]) == 0
    assert re.search(rf"accepted +│ +{RECORDED} │[^│]+│ +{NOW} ", capfd.readouterr().out)


def test_the_list_of_runs_sees_each_decision_at_once(decided: Run) -> None:
    [task, *_] = (row.instruction_id for row in export_rows(decided))
    drop(decided, task, by="ann")
    assert run_line(decided).tasks == NOW - 1
    undo(decided, task, by="ann")
    assert run_line(decided).tasks == NOW
    assert run_line(decided).share_of_target == 1.0
