"""A model's own answers: majorities, agreements, rationales that reach the known answer, hints."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.common.records import Completion, Request
from selfinstruct.dataset.chosen_answers import NO_LIMITS, AnswerLimits, Answers
from selfinstruct.dataset.rows import export_rows
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.answer_way import Answered
from selfinstruct.generate.own_answers import OwnSettings
from selfinstruct.store import Run, open_run
from selfinstruct.store.commits import ANSWERS
from selfinstruct.train.data.rows import read_rows
from selfinstruct.verdicts.replay import replay
from tests.engines.kinds import stand_in_for_vllm
from tests.generate.closed import (
    TASKS,
    by_task,
    closed_run,
    completions_of,
    planned,
    rows_of,
    solve,
)

# Of rolls, three of four say 16; of prime, two and two, and `no` comes first; the four votes on
# planet are Venus, Mars, one that was cut off, and an empty one.
VOTES: dict[str, Any] = {
    "rolls": ["16", "16.0", "14", "The answer is 16 rolls."],
    "prime": ["No", "yes", "no.", "Yes"],
    "planet": ["Venus", "Mars", ("Venus is the", "length"), ""],
}
STEPS = "3 x 12 = 36 and 36 - 20 = 16 are left.\nAnswer: 16"
# Rolls is right at once; prime only with the hint; planet is wrong twice.
ATTEMPTS: dict[str, Any] = {
    "rolls": [STEPS, "never asked"],
    "prime": ["51 is odd.\nAnswer: yes", "51 = 3 x 17.\nAnswer: no"],
    "planet": ["Mars is red.\nAnswer: Mars", "It is hot there, I think."],
}
FOUR = OwnSettings(votes=4)
STAR = OwnSettings(rationale=True, keep_if_match=True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return closed_run(tmp_path)


def test_the_majority_is_kept_with_its_agreement(run: Run, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = solve(
        run, tmp_path / "m", planned(VOTES), FOUR, advance=lambda *step: told.append(step)
    )
    assert found == Answered(owed=3, written=3, accepted=3, skipped=1)
    assert told[-1] == (3, 3)
    [rolls], [prime], [planet] = (by_task(run)[name] for name in ("rolls", "prime", "planet"))
    assert (rolls.agreement, rolls.votes, rolls.final_answer) == (0.75, 4, "16")
    # A tie: the answer that was sampled first.
    assert (prime.agreement, prime.final_answer, prime.output) == (0.5, "No", "No")
    # What was cut off or is empty votes for nothing, and counts.
    assert (planet.agreement, planet.votes, planet.output) == (0.25, 4, "Venus")
    assert [row.hinted for row in rows_of(run)] == [None] * 3
    assert rolls.id.endswith("-n0-a00000")
    assert rolls.completion_id == f"{rolls.id}-vote00-answer"
    assert len(completions_of(run)) == 12
    assert len({one.request.seed for one in completions_of(run)}) == 12
    assert {one.request.sampling.temperature for one in completions_of(run)} == {0.7}
    assert replay(run) == []
    assert solve(run, tmp_path / "m", planned(VOTES), FOUR) == Answered(0, 0, 0, skipped=1)


def test_too_little_agreement_is_rejected_and_can_be_exported(run: Run, tmp_path: Path) -> None:
    strict = OwnSettings(votes=4, min_agreement=0.5)
    found = solve(run, tmp_path / "m", planned(VOTES), strict)
    assert (found.written, found.accepted) == (3, 2)
    [planet] = by_task(run)["planet"]
    assert (planet.verdict, planet.reason, planet.threshold) == ("rejected", "low_agreement", 0.5)
    assert summarise(run).answers == {"accepted": 2, "low_agreement": 1}
    assert replay(run) == []
    # The same votes, whatever they are judged by.
    assert solve(run, tmp_path / "m", planned(VOTES), FOUR).owed == 0

    def outputs(answers: Answers, limits: AnswerLimits = NO_LIMITS) -> set[str]:
        return {row.output for row in export_rows(run, answers, limits=limits)}

    assert outputs(Answers.VOTES) == {"16", "No"}
    assert outputs(Answers.VOTES, AnswerLimits(min_agreement=0.6)) == {"16"}
    assert outputs(Answers.VOTES, AnswerLimits(min_agreement=0.2)) == {"16", "No", "Venus"}
    assert outputs(Answers.RATIONALES) == set()
    assert outputs(Answers.PREFER_TEACHER) == {"16", "No", "Venus", TASKS["poem"][1]}
    learnt = read_rows(run.path, answers=Answers.VOTES).rows
    assert {row.messages[-1]["content"] for row in learnt} == {"16", "No"}


def test_votes_without_any_final_answer(run: Run, tmp_path: Path) -> None:
    said = {name: [("It is", "length")] * 2 for name in VOTES}
    found = solve(run, tmp_path / "m", planned(said), OwnSettings(votes=2, rationale=True))
    assert found.accepted == 0
    assert {row.agreement for row in rows_of(run)} == {0.0}
    # The rules on the text come first.
    assert {row.reason for row in rows_of(run)} == {"truncated"}
    said = {name: ["Who knows how many there are."] * 2 for name in VOTES}
    (tmp_path / "b").mkdir()
    other = closed_run(tmp_path / "b")
    solve(other, tmp_path / "m", planned(said), OwnSettings(votes=2, rationale=True))
    assert {row.reason for row in rows_of(other)} == {"no_final_answer"}
    assert replay(other) == []


def test_votes_on_rationales_keep_one_that_reaches_the_majority(run: Run, tmp_path: Path) -> None:
    said = {
        "rolls": ["12 + 2 = 14.\nAnswer: 14", "", STEPS, "36 - 20 = 16.\nAnswer: 16"],
        "prime": ["Hm.\nAnswer: no"] * 4,
        "planet": ["Answer: Venus"] * 4,
    }
    solve(run, tmp_path / "m", planned(said), OwnSettings(votes=4, rationale=True))
    [rolls] = by_task(run)["rolls"]
    assert (rolls.output, rolls.final_answer, rolls.agreement) == (STEPS, "16", 0.5)
    assert rolls.completion_id.endswith("-vote02-answer")
    limits = AnswerLimits(without_rationale=True)
    rows = {row.output for row in export_rows(run, Answers.VOTES, limits=limits)}
    assert rows == {"16", "no", "Venus"}


def test_star_keeps_what_matches_and_hints_after_failure(run: Run, tmp_path: Path) -> None:
    prompts: dict[str, str] = {}

    def script(request: Request) -> Any:
        prompts[request.about] = str(request.prompt)
        return planned(ATTEMPTS)(request)

    found = solve(run, tmp_path / "m", script, STAR)
    assert found == Answered(owed=3, written=5, accepted=2, skipped=1)
    rows = by_task(run)
    assert [(one.reason, one.hinted) for one in rows["rolls"]] == [(None, False)]
    assert [(one.reason, one.hinted) for one in rows["prime"]] == [
        ("no_match", False),
        (None, True),
    ]
    assert [(one.reason, one.hinted) for one in rows["planet"]] == [
        ("no_match", False),
        ("no_final_answer", True),
    ]
    hinted = rows["prime"][1]
    assert hinted.output == "51 = 3 x 17.\nAnswer: no"
    assert hinted.id.endswith("-a00000-hint")
    assert "Hint: the right answer is no\n" in prompts[hinted.id]
    assert "Hint" not in prompts[rows["prime"][0].id]
    assert replay(run) == []
    assert {row.output for row in export_rows(run, Answers.RATIONALES)} == {STEPS, hinted.output}
    assert summarise(run).answers == {"accepted": 2, "no_match": 2, "no_final_answer": 1}
    assert solve(run, tmp_path / "m", script, STAR).owed == 0


def test_a_rationale_alone_needs_only_a_final_answer(run: Run, tmp_path: Path) -> None:
    found = solve(run, tmp_path / "m", planned(ATTEMPTS), OwnSettings(rationale=True))
    assert (found.written, found.accepted) == (3, 3)
    assert {row.final_answer for row in rows_of(run)} == {"16", "yes", "Mars"}


def test_open_tasks_are_asked_where_the_user_wants_it(run: Run, tmp_path: Path) -> None:
    said = {**VOTES, "poem": ["White.", "Cold.", "Silent.", "White."]}
    found = solve(run, tmp_path / "m", planned(said), replace(FOUR, all_tasks=True))
    assert (found.owed, found.skipped) == (4, 0)
    assert by_task(run)["poem"][0].agreement == 0.5


@pytest.mark.parametrize(("settings", "die_after"), [(FOUR, 5), (STAR, 3)])
def test_killed_and_resumed_is_uninterrupted(
    tmp_path: Path, settings: OwnSettings, die_after: int
) -> None:
    script = planned(VOTES if settings is FOUR else ATTEMPTS)
    whole, cut = closed_run(tmp_path / "whole"), closed_run(tmp_path / "cut")
    solve(whole, tmp_path / "m", script, settings, batch_size=1)
    engine = {"die_after": die_after, "batch": 1}
    with pytest.raises(EngineError):
        solve(cut, tmp_path / "m", script, settings, batch_size=1, engine=engine)
    assert 0 < len(ANSWERS.numbers(cut)) < 3
    solve(cut, tmp_path / "m", script, settings, batch_size=1, engine={"shuffle": 3})
    assert repr(rows_of(cut)) == repr(rows_of(whole))
    assert repr(completions_of(cut)) == repr(completions_of(whole))
    assert replay(cut) == []


class Failing(ScriptedEngine):
    """Fails on one vote, whatever it is asked."""

    def collect(self) -> list[Completion]:
        return [
            replace(one, text="", error="too long") if one.id.endswith("-vote01-answer") else one
            for one in super().collect()
        ]


def test_a_failed_request_is_no_verdict(run: Run, tmp_path: Path) -> None:
    found = solve(run, tmp_path / "m", planned(VOTES), FOUR, kind=Failing)
    assert found == Answered(owed=3, written=0, accepted=0, skipped=1, failed=3)
    assert rows_of(run) == []
    assert len(completions_of(run)) == 12
    assert replay(run) == []
    assert solve(run, tmp_path / "m", planned(VOTES), FOUR).accepted == 3
    assert {row.id[-7:] for row in rows_of(run)} == {"-a00001"}
    assert replay(run) == []


def test_as_raw_text(run: Run, tmp_path: Path) -> None:
    prompts: list[str] = []

    def script(request: Request) -> Any:
        prompts.append(str(request.prompt))
        assert "\n###" in request.sampling.stop
        return planned(VOTES)(request)

    values = {"model": {"name": str(tmp_path / "m"), "prompting": "base"}}
    solve(run, tmp_path / "m", script, FOUR, values=values)
    assert all(prompt.endswith("\nAnswer:") for prompt in prompts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--keep-if-match"], "--keep-if-match: compares what a rationale reaches"),
        (["--votes", "3", "--rationale", "--keep-if-match"], "leave one out"),
        (["--min-agreement", "0.5"], "--min-agreement: is a share of votes"),
        (["--all-tasks"], "--all-tasks: add --votes K or --rationale"),
        (["--votes", "3", "--set", "instances.sampling.temperature=0"], "greedy model"),
    ],
)
def test_options_that_contradict(
    run: Run, capfd: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    assert cli(["answer", str(run.path), "--model", "bundled", *options]) == 2
    assert words in " ".join(capfd.readouterr().err.split())
    assert ANSWERS.numbers(run) == []


def test_the_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in_for_vllm(monkeypatch, partial(ScriptedEngine, planned(VOTES)))
    solve(run, tmp_path / "m", planned(ATTEMPTS), STAR)  # also makes the folder of the model
    arguments = ["answer", str(run.path), "--model", str(tmp_path / "m"), "--prompting", "chat"]
    arguments += ["--votes", "4", "--min-agreement", "0.5"]
    assert cli(arguments) == 0
    said = capfd.readouterr()
    assert "2 of 3 answers accepted" in said.out
    assert "1 open tasks skipped" in said.err
    assert "--answers votes" in said.err
    assert cli(arguments) == 0
    assert "already answered every closed task" in capfd.readouterr().out
    out = tmp_path / "out.jsonl"
    exporting = ["export", str(run.path), "--format", "alpaca", "--out", str(out)]
    assert cli([*exporting, "--answers", "votes", "--min-agreement", "0.1"]) == 0
    assert len(out.read_text().splitlines()) == 3
    assert cli([*exporting, "--answers", "rationales", "--no-rationale"]) == 0
    assert {json.loads(line)["output"] for line in out.read_text().splitlines()} == {"16", "no"}
    assert cli([*exporting, "--min-agreement", "0.1"]) == 2
    assert "--answers votes" in capfd.readouterr().err
    assert open_run(run.path).status()["state"] == "stopped"


def test_a_model_of_answers_is_unlike_what_was_asked(run: Run, tmp_path: Path) -> None:
    """Exports without any such answers say how to write some."""
    with pytest.raises(ConfigError, match="with an accepted answer"):
        read_rows(run.path, answers=Answers.VOTES)
