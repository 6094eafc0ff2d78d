"""Look at answers that were written later: list, show, and judge agreements again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfinstruct.api import open_run
from selfinstruct.audit.answers import agreement_what_if, answers_to, show_answer
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.store import Run
from tests.generate.closed import by_task, closed_run, planned, solve
from tests.generate.test_own_answers import ATTEMPTS, FOUR, STAR, VOTES


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = closed_run(tmp_path)
    solve(run, tmp_path / "m", planned(VOTES), FOUR)
    return run


def test_listed_by_agreement(run: Run) -> None:
    rows = list(open_run(run.path).candidates("answers", sort="agreement", descending=True))
    assert [row["agreement"] for row in rows] == [0.75, 0.5, 0.25]
    rows = list(open_run(run.path).candidates("answers", text="venus"))
    assert [row["output"] for row in rows] == ["Venus"]
    assert list(open_run(run.path).candidates("answers", reason="low_agreement")) == []
    with pytest.raises(ConfigError, match="min_rouge: is not a filter of answers"):
        open_run(run.path).candidates("answers", min_rouge=0.1)
    with pytest.raises(ConfigError, match="sort by output: answers cannot be"):
        open_run(run.path).candidates("answers", sort="output")


def test_shown_with_every_vote(run: Run, tmp_path: Path) -> None:
    [planet] = by_task(run)["planet"]
    detail = show_answer(run, planet.id)
    assert [one.final_answer for one in detail.votes] == ["Venus", "Mars", None, None]
    assert detail.known == "Venus"
    assert [asked.id for asked in detail.asked] == [planet.completion_id]
    assert detail.method is not None
    assert detail.method["votes"] == 4
    solve(run, tmp_path / "m", planned(ATTEMPTS), STAR)
    prime = by_task(run)["prime"]
    assert [row["id"] for row in answers_to(run, prime[0].instruction_id)] == [
        row.id for row in prime
    ]
    with pytest.raises(ConfigError, match="has no such answer"):
        show_answer(run, f"{planet.id[:-1]}9")


def test_other_agreements(run: Run) -> None:
    result = agreement_what_if(run, 0.5)
    assert result.before == {"accepted": 3}
    assert result.after == {"accepted": 2, "low_agreement": 1}
    assert result.changed == [by_task(run)["planet"][0].id]


def test_the_commands(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    [rolls] = by_task(run)["rolls"]
    assert cli(["audit", "show", str(run.path), rolls.id]) == 0
    said = capfd.readouterr().out
    assert "accepted, agreement 0.75 of 4 votes" in said
    assert f"{rolls.id}-vote02-answer (stop): 14" in said
    assert cli(["audit", "show", str(run.path), str(rolls.answer_to)]) == 0
    assert f"answer {rolls.id}: accepted, agreement 0.75 of 4 votes" in capfd.readouterr().out
    assert cli(["audit", "show", str(run.path), rolls.id, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["row"]["agreement"] == 0.75
    assert cli(["audit", "list", str(run.path), "--stage", "answers"]) == 0
    assert "0.75" in capfd.readouterr().out
    whatif = ["audit", "whatif", str(run.path), "--min-agreement", "0.6"]
    assert cli([*whatif, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["after"] == {"accepted": 1, "low_agreement": 2}
    assert cli(whatif) == 0
    assert "-2" in capfd.readouterr().out
    assert cli([*whatif, "--rouge", "0.5"]) == 2
    assert "give it alone" in capfd.readouterr().err


def test_a_run_without_votes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no answers by votes"):
        agreement_what_if(closed_run(tmp_path), 0.5)
