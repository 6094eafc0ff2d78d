"""A judge's scores: committed, replayed, filtered by, and measured against ratings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.error_rates import what_if_rates
from selfinstruct.audit.judged import judge_what_if
from selfinstruct.audit.repair import plan_repair
from selfinstruct.audit.sample import draw_sample
from selfinstruct.audit.verify import verify_run
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.common.records import Request, Stage
from selfinstruct.decisions.labels import Label, Rating, append_label
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.answer_way import Asking
from selfinstruct.generate.judge import JudgedTasks, judge
from selfinstruct.prompts.judging import load_rubric, rubric_from
from selfinstruct.store import Run
from selfinstruct.store.commits import JUDGED
from selfinstruct.verdicts.judgements import judge_scores
from selfinstruct.verdicts.replay import replay
from tests.engines.kinds import stand_in_for_vllm
from tests.generate.closed import TASKS, closed_run

# Yes of three questions; the reply about the poem cannot be read.
YES = {"rolls": 3, "prime": 1, "planet": 3}


def critic(request: Request) -> str:
    assert request.stage is Stage.JUDGE
    prompt = str(request.prompt)
    name = next(id for id, (question, _) in TASKS.items() if question in prompt)
    number = int(request.about[-1])
    if name not in YES:
        return "That depends."
    return f"{'Yes' if number < YES[name] else 'No'}. Reason {number}."


def ask(run: Run, folder: Path, script: Any = critic, rubric: str = "paper", **more: Any) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"max_position_embeddings": 8192}')
    (folder / "model.safetensors").write_bytes(b"judge")
    engine: Callable[..., Any] = partial(ScriptedEngine, script, **more.pop("engine", {}))
    asking = Asking(lambda *_: engine(), lambda what, share: None, lambda done, owed: None, **more)
    values = {"model": {"name": str(folder), "prompting": "chat"}}
    return judge(run, values, load_rubric(rubric), asking)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return closed_run(tmp_path)


def test_every_accepted_task_is_judged_once(run: Run, tmp_path: Path) -> None:
    assert ask(run, tmp_path / "m") == JudgedTasks(owed=4, written=4, unread=1)
    rows = {row.instance_id: row for row in JUDGED.read_judgements(run, 0)}
    by_task = {str(i.source_id): rows[i.id] for n in run.rounds() for i in run.instances(n)}
    assert by_task["rolls"].score == 1.0
    assert by_task["prime"].score == pytest.approx(1 / 3)
    assert by_task["prime"].answers == ("yes", "no", "no")
    assert by_task["prime"].reasons == ("Reason 0.", "Reason 1.", "Reason 2.")
    assert by_task["poem"].answers == ("", "", "")
    assert replay(run) == []
    assert verify_run(run).problems == []
    assert plan_repair(run).moved == []
    assert ask(run, tmp_path / "m").owed == 0
    assert ask(run, tmp_path / "m", rubric="usefulness", script=lambda _: "4. Good.").written == 4
    assert set(judge_scores(run).values()) == {4.0}  # the last rubric
    assert max(judge_scores(run, "paper").values()) == 1.0
    assert replay(run) == []


def test_killed_and_resumed_is_uninterrupted(tmp_path: Path) -> None:
    whole, cut = closed_run(tmp_path / "whole"), closed_run(tmp_path / "cut")
    ask(whole, tmp_path / "m", batch_size=1)
    with pytest.raises(EngineError):
        ask(cut, tmp_path / "m", batch_size=1, engine={"die_after": 5, "batch": 1})
    assert JUDGED.numbers(cut) == [0]
    ask(cut, tmp_path / "m", batch_size=1, engine={"shuffle": 1})
    rows = [
        [row for n in JUDGED.numbers(one) for row in JUDGED.read_judgements(one, n)]
        for one in (whole, cut)
    ]
    assert repr(rows[0]) == repr(rows[1])


def test_a_threshold_against_ratings(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing was judged"):
        judge_what_if(run, 0.5)
    ask(run, tmp_path / "m")
    result = judge_what_if(run, 0.5)
    assert result.instances_before == {"accepted": 4}
    assert result.instances_after == {"accepted": 2, "below_judge_score": 1, "not_judged": 1}
    draw_sample(run, 10, tables=("instances",))
    now = datetime.now(UTC).isoformat()
    for row in run.instances(0):
        rating = Rating.D if row.source_id == "prime" else Rating.A
        append_label(run, Label(row.id, "ann", rating, now))
    [rates] = [one for one in what_if_rates(run, result) if one.table == "instances"]
    # 1 of 4 accepted is bad; afterwards 0 of 2. The good poem is lost: 2 of 3 good are kept.
    assert rates.before.false_accept.value == pytest.approx(0.25)
    assert rates.after.false_accept.value == pytest.approx(0.0)
    assert rates.after.recall.value == pytest.approx(2 / 3)


def test_the_commands(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ask(closed_run(tmp_path / "other"), tmp_path / "m")  # makes the folder of the model
    stand_in_for_vllm(monkeypatch, partial(ScriptedEngine, critic))
    arguments = ["audit", "judge", str(run.path), "--judge", str(tmp_path / "m")]
    assert cli([*arguments, "--prompting", "chat"]) == 0
    assert "4 of 4 tasks judged, 1 without a score" in capfd.readouterr().out
    assert cli([*arguments, "--prompting", "chat"]) == 0
    assert "already judged every task" in capfd.readouterr().out
    assert cli([*arguments, "--rubric", "papr"]) == 2
    assert "paper" in capfd.readouterr().err
    assert cli(["audit", "whatif", str(run.path), "--min-judge-score", "0.5"]) == 0
    assert "below_judge_score" in capfd.readouterr().out
    out = tmp_path / "out.jsonl"
    exporting = ["export", str(run.path), "--format", "alpaca", "--out", str(out)]
    assert cli([*exporting, "--min-judge-score", "0.5"]) == 0
    assert len(out.read_text().splitlines()) == 2
    assert cli([*exporting, "--min-judge-score", "0.1"]) == 0
    assert len(out.read_text().splitlines()) == 3
    assert cli([*exporting, "--min-judge-score", "2"]) == 2
    assert "none of 4 rows is left by --min-judge-score 2" in capfd.readouterr().err
    assert cli([*exporting, "--min-judge-score", "0.5", "--rubric", "usefulness"]) == 2
    assert "nothing was judged" in capfd.readouterr().err


def test_rubrics_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        'name: mine\nabout: Mine.\nscale: yes-no\nquestions: ["Is it short?"]\n'
        "prompt: '{{ output }} {{ question }}'\n"
    )
    rubric = load_rubric(str(file))
    assert rubric.ask(rubric.questions[0], {"output": "x", "instruction": "", "input": ""}) == (
        "x Is it short?"
    )
    for text, words in (
        ("name: mine", "is no rubric"),
        (file.read_text().replace("yes-no", "1-9"), "is no rubric"),
        (file.read_text().replace("output", "outputs"), "cannot be rendered"),
    ):
        with pytest.raises(ConfigError, match=words):
            rubric_from(text, "mine.yaml")
