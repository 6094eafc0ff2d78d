"""A teacher's answers: new instances with their lineage, judged by the run's rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.cli.app import run as cli
from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError, EngineError, StoreError
from selfinstruct.common.records import ACCEPTED, Request, Stage
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.answer import Answered, answer
from selfinstruct.store import Run, open_run, schema
from selfinstruct.store.commits import ANSWERS
from selfinstruct.verdicts.replay import replay
from tests.conftest import draw
from tests.engines.kinds import stand_in_for_vllm
from tests.recommit import forget_seals

Generate = Callable[..., tuple[Run, str]]


def teacher(request: Request) -> str | tuple[str, str]:
    assert request.stage is Stage.ANSWER
    if draw(request, "bad", 4) == 0:
        return "The answer is that the harbour and", "length"
    return f" A thorough answer, number {draw(request, 'answer', 1000)}."


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=15, likelihood__seed_bound=False)[0]


@pytest.fixture
def teacher_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "teacher"
    folder.mkdir()
    (folder / "config.json").write_text('{"max_position_embeddings": 4096}')
    (folder / "model.safetensors").write_bytes(b"teacher")
    return folder


def ask(run: Run, folder: Path, *, script: Any = teacher, **options: Any) -> Answered:
    engine = options.pop("engine", {})
    return answer(
        run,
        {"model": {"name": str(folder), **options.pop("model", {})}},
        make_engine=lambda *_: ScriptedEngine(script, **engine),
        model_progress=lambda what, share: None,
        advance=options.pop("advance", lambda done, owed: None),
        **options,
    )


def test_every_accepted_instance_is_answered_once(run: Run, teacher_folder: Path) -> None:
    owed = [row.id for row in export_rows(run)]
    told: list[tuple[int, int]] = []
    found = ask(run, teacher_folder, advance=lambda *step: told.append(step))
    assert (found.owed, found.written) == (len(owed), len(owed))
    assert told[-1] == (len(owed), len(owed))
    [batch] = ANSWERS.numbers(run)
    rows = ANSWERS.read_instances(run, batch)
    assert [row.answer_to for row in rows] == owed
    assert [row.id for row in rows] == [f"{id}-a00000" for id in owed]
    assert found.accepted == sum(row.verdict == ACCEPTED for row in rows)
    rejects = [row for row in rows if row.verdict != ACCEPTED]
    assert {row.reason for row in rejects} == {"truncated"}
    assert all(row.num_tokens > 0 and row.mean_logprob < 0 for row in rows)
    assert ask(run, teacher_folder) == Answered(0, 0, 0)
    summary = summarise(run)
    assert summary.answers["accepted"] == found.accepted
    assert sum(summary.answers.values()) == len(owed)


def test_inputs_are_kept_and_shown(run: Run, teacher_folder: Path) -> None:
    prompts: dict[str, str] = {}

    def script(request: Request) -> str | tuple[str, str]:
        prompts[request.about] = request.prompt
        return teacher(request)

    ask(run, teacher_folder, script=script, model={"prompting": "chat"})
    for row in export_rows(run):
        expected = f"{row.instruction}\n\n{row.input}" if row.input else row.instruction
        assert prompts[ids.answer(row.id, 0)] == f"<user>{expected}<assistant>"
    answers = {row.answer_to: row for row in ANSWERS.read_instances(run, 0)}
    assert all(answers[row.id].input == row.input for row in export_rows(run))
    assert any(row.input for row in export_rows(run))


def test_as_raw_text(run: Run, teacher_folder: Path) -> None:
    prompts: list[str] = []

    def script(request: Request) -> str | tuple[str, str]:
        prompts.append(request.prompt)
        assert "\n###\n" in request.sampling.stop
        return teacher(request)

    ask(run, teacher_folder, script=script, model={"prompting": "base"})
    assert all(prompt.endswith("\nOutput:") for prompt in prompts)


def test_exports_choose(run: Run, teacher_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="selfinstruct answer"):
        export(run, Format.ALPACA, tmp_path / "x.jsonl", Answers.TEACHER)
    own = list(export_rows(run))
    found = ask(run, teacher_folder)
    assert repr(list(export_rows(run))) == repr(own)  # NaN is not itself
    only = list(export_rows(run, Answers.TEACHER))
    assert len(only) == found.accepted < len(own)
    assert all("thorough" in row.output for row in only)
    both = list(export_rows(run, Answers.PREFER_TEACHER))
    assert [row.instruction for row in both] == [row.instruction for row in own]
    assert sum("thorough" in row.output for row in both) == found.accepted


def test_an_engine_that_dies_loses_one_batch(run: Run, teacher_folder: Path) -> None:
    owed = len(list(export_rows(run)))
    with pytest.raises(EngineError):
        ask(run, teacher_folder, batch_size=4, engine={"die_after": 10, "batch": 2})
    assert len(ANSWERS.numbers(run)) == 2
    found = ask(run, teacher_folder, batch_size=4)
    assert found.owed == owed - 8
    answered = [
        row.answer_to for n in ANSWERS.numbers(run) for row in ANSWERS.read_instances(run, n)
    ]
    assert answered == [row.id for row in export_rows(run)]


def test_another_teacher_answers_again_and_the_newest_wins(
    run: Run, teacher_folder: Path, tmp_path: Path
) -> None:
    ask(run, teacher_folder)
    (teacher_folder / "config.json").write_text('{"max_position_embeddings": 2048}')
    found = ask(run, teacher_folder, script=lambda request: " The newest answer of all.")
    assert found.owed == found.written
    outputs = {row.output for row in export_rows(run, Answers.PREFER_TEACHER)}
    assert outputs == {"The newest answer of all."}
    infos = [ANSWERS.info(run, number) for number in ANSWERS.numbers(run)]
    assert infos[0]["model"]["digest"] != infos[1]["model"]["digest"]


def test_the_rounds_are_not_touched(run: Run, teacher_folder: Path) -> None:
    ask(run, teacher_folder)
    run.verify()
    assert cli(["audit", "replay", str(run.path)]) == 0


def test_the_command(
    run: Run,
    teacher_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    stand_in_for_vllm(monkeypatch, partial(ScriptedEngine, teacher))
    arguments = ["answer", str(run.path), "--model", str(teacher_folder)]
    assert cli([*arguments, "--set", "instances.sampling.max_tokens=99"]) == 0
    assert "answers accepted" in capfd.readouterr().out
    assert ANSWERS.info(run, 0)["sampling"]["max_tokens"] == 99
    assert cli([*arguments, "--set", "instances.sampling.max_tokens=99"]) == 0
    assert "already answered every task" in capfd.readouterr().out
    # Another sampling is another answer.
    assert cli(arguments) == 0
    assert "answers accepted" in capfd.readouterr().out
    assert len(ANSWERS.numbers(run)) == 2
    for other in ("stop.target=3", "instances.placeholder=false", "novelty.threshold=0.5"):
        assert cli([*arguments, "--set", other]) == 2
        assert other.split("=")[0].split(".")[0] in capfd.readouterr().err
    out = tmp_path / "out.jsonl"
    exporting = ["export", str(run.path), "--format", "alpaca", "--out", str(out)]
    assert cli([*exporting, "--answers", "prefer-teacher"]) == 0
    outputs = [json.loads(line)["output"] for line in out.read_text().splitlines()]
    assert any("thorough" in output for output in outputs)
    assert open_run(run.path).status()["state"] == "stopped"


def test_answers_that_were_tampered_with_are_not_exported(
    run: Run, teacher_folder: Path, tmp_path: Path
) -> None:
    ask(run, teacher_folder)
    file = run.path / "answers" / "00000" / "instances.parquet"
    rows = [replace(row, output="TAMPERED") for row in ANSWERS.read_instances(run, 0)]
    schema.write_instances(file, rows)
    with pytest.raises(StoreError, match="is not what was committed"):
        export(run, Format.ALPACA, tmp_path / "x.jsonl", Answers.PREFER_TEACHER)
    assert cli(["audit", "replay", str(run.path)]) == 4


def test_answers_are_replayed(run: Run, teacher_folder: Path) -> None:
    ask(run, teacher_folder)
    assert replay(run) == []
    text = (run.path / "run.yaml").read_text()
    assert text.count("truncated: true") == 2
    (run.path / "run.yaml").write_text(text.replace("truncated: true", "truncated: false"))
    forget_seals(run.path)
    differences = replay(open_run(run.path))
    assert any(one.id.endswith("-a00000") and one.field == "verdict" for one in differences)


@pytest.mark.parametrize("content", ["{}", "[]", '{"schema_version": 1}', "{"])
def test_damaged_answers_are_a_damaged_run(
    run: Run, teacher_folder: Path, tmp_path: Path, content: str
) -> None:
    ask(run, teacher_folder)
    (run.path / "answers" / "00000" / "answers.json").write_text(content)
    out = ["--format", "alpaca", "--out", str(tmp_path / "x.jsonl"), "--answers", "teacher"]
    assert cli(["export", str(run.path), *out]) == 4


def test_a_teacher_needs_room_for_answers_alone(run: Run, teacher_folder: Path) -> None:
    # Far too short for proposals.
    found = ask(run, teacher_folder, engine={"context_length": 720})
    assert found.accepted > 0
    with pytest.raises(ConfigError, match=r"lower instances\.sampling\.max_tokens"):
        ask(run, teacher_folder, model={"system": "Be brief."}, engine={"context_length": 100})


def test_an_interrupted_answer_says_how_to_go_on(
    run: Run,
    teacher_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def interrupt(request: Request) -> str:
        raise KeyboardInterrupt

    stand_in_for_vllm(monkeypatch, partial(ScriptedEngine, interrupt))
    arguments = ["answer", str(run.path), "--model", str(teacher_folder)]
    monkeypatch.setattr("sys.argv", ["selfinstruct", *arguments])
    assert cli(arguments) == 130
    assert f"selfinstruct {' '.join(arguments)}" in capfd.readouterr().err
