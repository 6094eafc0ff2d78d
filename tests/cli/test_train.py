"""The commands that train and evaluate: their arguments, and what a user is told."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.cli.app import run as cli
from selfinstruct.engines.isolated import Loaded
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate.answers import Answer, ModelAnswers
from selfinstruct.evaluate.plain_text import PassageScore
from selfinstruct.evaluate.verdicts import judge_duels
from selfinstruct.labellers.duels import Duel, Verdict
from tests.engines.kinds import stand_in_for_vllm
from tests.train.conventions import CONVENTIONS
from tests.train.sft_runs import TALKS
from tests.train.tiny import tiny_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Name colour {n}.", "completion": "red"} for n in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_train_sft(tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model, out = tiny_model(tmp_path / "tiny"), tmp_path / "out"
    arguments = ["train", "sft", "--data", str(data), "--model", str(model.path)]
    arguments += ["--out", str(out), "--epochs", "1", "--max-length", "128", "--set", "bf16=false"]
    assert cli(arguments) == 0
    captured = capfd.readouterr()
    assert "trained on 11 rows" in captured.out
    assert f"selfinstruct evaluate --model base={model.path} --model sft=" in captured.err
    card = (out / "README.md").read_text()
    assert "`rows.jsonl`" in card
    assert "| rows | 11; validated on" in card
    # Asked again, it does not overwrite what is there.
    assert cli(arguments) == 2
    assert "holds a trained model already" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--full", "--load-in-4bit"], "--full: trains all weights"),
        (["--load-in-4bit"], "--load-in-4bit: needs a GPU"),
        (["--set", "warp=9"], "--set warp: TRL's SFTConfig has no such field"),
        (["--with-seeds"], "has no seeds"),
        (
            ["--eos-token", "<none>"],
            "--eos-token '<none>': is not a token of this model's tokenizer",
        ),
        (["--max-length", "16"], "all 11 rows have more than 16 tokens"),
    ],
)
def test_what_cannot_be_trained(
    tmp_path: Path, data: Path, more: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model, out = tiny_model(tmp_path / "tiny"), tmp_path / "out"
    arguments = ["train", "sft", "--data", str(data), "--model", str(model.path)]
    assert cli([*arguments, "--out", str(out), *more]) == 2
    assert message in capfd.readouterr().err
    assert not out.exists()


def test_conversations_are_learnt_by_a_model_that_ends_turns_its_own_way(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kind = CONVENTIONS["Gemma 2"]
    model = tiny_model(
        tmp_path / "tiny", template=kind.template, bos=kind.bos, eos=kind.eos, control=kind.control
    )
    data, out = tmp_path / "talks.jsonl", tmp_path / "out"
    lines = [{"messages": [*talk.messages]} for talk in TALKS]
    lines[0]["messages"][-1] = {"role": "assistant", "content": "red<end_of_turn>"}
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ["train", "sft", "--data", str(data), "--model", str(model.path)]
    arguments += ["--epochs", "1", "--set", "bf16=false", "--validation", "0"]
    assert cli([*arguments, "--out", str(out), "--last-turn-only"]) == 0
    captured = capfd.readouterr()
    assert "trained on 12 rows" in captured.out
    said = " ".join(captured.err.split())
    assert "answers end with '<end_of_turn>', as the chat template writes them" in said
    assert "1 row: answers end with a control token of the model, which is left out" in said
    called = {"function": {"name": "add", "arguments": {}}}
    lines[5]["messages"][2] = {"role": "assistant", "tool_calls": [called]}
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert cli([*arguments, "--out", str(tmp_path / "other")]) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "row line-6-0: the chat template has no form for tool calls" in said
    assert not (tmp_path / "other").exists()


def test_decontamination_is_told(
    tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks = tmp_path / "tasks.jsonl"
    task = {"instruction": "Name colour 3.", "instances": [{"output": "blue"}]}
    tasks.write_text(json.dumps(task))
    arguments = ["train", "sft", "--data", str(data), "--model", "none", "--out", "x"]
    assert cli([*arguments, "--decontaminate", str(tasks)]) == 2
    told = capfd.readouterr().err
    assert "1 of 12 rows repeat tasks of" in told
    assert "Name colour 3." in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "bundled"], "give NAME=MODEL"),
        (["--model", "a/b=bundled"], "give NAME=MODEL"),
        (["--model", "a=bundled", "--few-shot", "b=2"], "no --model has this name"),
        (["--model", "a=bundled", "--few-shot", "a=x"], "give N for all models, or NAME=N"),
        (["--model", "a=./nowhere"], "no such folder"),
        (
            ["--model", "a=bundled", "--tasks", "none.jsonl"],
            "none.jsonl: no such file; check --tasks",
        ),
        (["--model", "a=bundled", "--plain-text", "none.txt"], "check --plain-text"),
        (
            ["--model", "a=bundled", "--judge", "a", "--judge-prompt", "none.jinja"],
            "none.jinja: no such file; check --judge-prompt",
        ),
        (["--model", "a=bundled", "--judge-prompt", "x"], "give --judge too"),
        (["--model", "a=bundled", "--temperature", "1"], "give --samples too"),
        (["--model", "a=bundled", "--judge", "./nowhere"], "no such folder"),
    ],
)
def test_what_cannot_be_evaluated(
    tmp_path: Path, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli(["evaluate", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capfd.readouterr().err


def test_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(tmp_path / "tiny")

    loaded: list[str] = []

    def judged(_engine: Any, batches: list[list[Duel]], *_: Any) -> Iterator[list[Verdict]]:
        for duels in batches:
            yield [Verdict(float(duel.first == "Paris"), 1.0) for duel in duels]

    monkeypatch.setattr("selfinstruct.evaluate.verdicts.judged", judged)

    def with_engine(what: Loaded, work: Any, advance: Any, **_: Any) -> Any:
        loaded.append(what.model)
        if work.func is judge_duels:
            assert work.keywords["template"] == "{{ task }}{{ first }}{{ second }}"
            work(ScriptedEngine(lambda request: ""), advance=advance)
            return None
        asked = work.keywords["asked"]
        assert len(asked.passages) == 1
        text = "Paris" if len(asked.shots) else "no idea"
        answers = [
            Answer(task.id, text, 2, True, math.nan)
            for task in asked.tasks
            for _ in range(asked.samples)
        ]
        return ModelAnswers(answers, [PassageScore(-3.0, 1.0)])

    monkeypatch.setattr("selfinstruct.engines.isolated.with_engine", with_engine)
    stand_in_for_vllm(monkeypatch)
    tasks = tmp_path / "tasks.jsonl"
    rows = [
        {"instruction": f"Capital {n}?", "instances": [{"output": "Paris"}], "closed": True}
        for n in range(20)
    ]
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["evaluate", "--model", f"zero={model.path}", "--model", f"[few]={model.path}"]
    arguments += ["--few-shot", "[few]=2", "--tasks", str(tasks), "--out", str(tmp_path / "out")]
    text = tmp_path / "text.txt"
    text.write_text("One two three four five.")
    arguments += ["--samples", "2", "--temperature", "0.5", "--plain-text", str(text)]
    assert cli(arguments) == 0
    table = capfd.readouterr().out
    assert "[few] − zero" in table
    assert "100.0" in table
    assert cli([*arguments, "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    [exact] = [one for one in report["comparisons"] if one["metric"] == "exact_match"]
    assert (exact["difference"], exact["low"], exact["high"], exact["n"]) == (1.0, 1.0, 1.0, 20)
    assert report["models"]["zero"]["reference_logprob"] is None
    assert report["models"]["zero"]["perplexity"] == pytest.approx(math.exp(3))
    assert (report["settings"]["samples"], report["settings"]["temperature"]) == (2, 0.5)
    template = tmp_path / "judge.jinja"
    template.write_text("{{ task }}{{ first }}{{ second }}")
    loaded.clear()
    assert cli([*arguments, "--judge", str(model.path), "--judge-prompt", str(template)]) == 0
    assert loaded == [str(model.path)]  # the answers are known; the judge alone is asked
    told = capfd.readouterr().out
    assert "[few] against zero" in told
    assert "100.0–100.0" in told
