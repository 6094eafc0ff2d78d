"""The hand-off to lm-evaluation-harness: the command, our engine as its model, kept results."""

from __future__ import annotations

import json
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.common.records import Endpoint, LocalModel, Request
from selfinstruct.engines.isolated import Advance, Loaded
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate.answers import ModelAnswers, Questions
from selfinstruct.evaluate.evaluation import Conditions, Contestant, Evaluation, evaluate
from selfinstruct.evaluate.harness import (
    Harness,
    HarnessQuestion,
    HarnessResults,
    HarnessTasks,
    harness_command,
    harness_tasks,
    run_harness,
)
from selfinstruct.evaluate.harness_model import HarnessScores
from selfinstruct.evaluate.report import write_report
from tests.engines.kinds import add_scripted

LOCAL = LocalModel("m", Path("/models/m"), "digest", {})
SERVED = LocalModel(
    "s", Path(), "digest", {}, None, Endpoint(("http://h:8000/v1",), "org/name", "vllm 0.32.0")
)

# The options of `lm_eval run` in its reference (docs/interface.md of version 0.4.9 and later).
DOCUMENTED = {
    *("--model", "--model_args", "--tasks", "--num_fewshot", "--batch_size", "--output_path"),
    *("--limit", "--system_instruction", "--apply_chat_template", "--log_samples"),
    "--include_path",
}


def command(model: LocalModel, question: HarnessQuestion, kind: str = "vllm") -> list[str]:
    return harness_command(model, question, Path("out"), dtype="float32", kind=kind)


def test_the_command_for_a_local_model() -> None:
    question = HarnessQuestion(HarnessTasks(("hellaswag", "arc_easy")))
    expected = (
        "lm_eval --model vllm --model_args pretrained=/models/m,dtype=float32 --batch_size auto "
        "--tasks hellaswag,arc_easy --output_path out --log_samples"
    )
    assert shlex.join(command(LOCAL, question)) == expected
    assert command(LOCAL, question, "hf")[:3] == ["lm_eval", "--model", "hf"]


def test_the_command_for_a_server_and_with_everything() -> None:
    question = HarnessQuestion(HarnessTasks(("gsm8k",), chat=True, limit=20), 5, "Be brief.")
    expected = (
        "lm_eval --model local-completions --model_args "
        "model=org/name,base_url=http://h:8000/v1/completions,num_concurrent=8 --tasks gsm8k "
        "--num_fewshot 5 --system_instruction 'Be brief.' --apply_chat_template --limit 20 "
        "--output_path out --log_samples"
    )
    words = command(SERVED, question)
    assert shlex.join(words) == expected
    assert {word for word in words if word.startswith("--")} <= DOCUMENTED


TASK = """task: colours
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list:
  - metric: acc
  - metric: acc_norm
metadata:
  version: 1.0
"""
WRITTEN = """task: sums
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[0]}}}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 8
metric_list:
  - metric: exact_match
metadata:
  version: 1.0
"""
ROWS = [
    {"question": f"Question {n}?", "choices": ["red", "blue"], "answer": n % 2} for n in range(4)
]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "sums.yaml").write_text(WRITTEN.format(data=data))
    path = folder / "colours.yaml"
    path.write_text(TASK.format(data=data))
    return path


def test_a_file_of_a_task_goes_by_its_name(task: Path, tmp_path: Path) -> None:
    tasks = harness_tasks(f"{task}, hellaswag", chat=False, limit=None)
    assert tasks.known == ["colours", "hellaswag"]
    words = command(LOCAL, HarnessQuestion(tasks))
    assert words[words.index("--include_path") + 1] == str(task.parent)
    (tmp_path / "none.yaml").write_text("group: x\n")
    with pytest.raises(ConfigError, match="no line `task: NAME`"):
        harness_tasks(str(tmp_path / "none.yaml"), chat=False, limit=None)
    with pytest.raises(ConfigError, match="names no task"):
        harness_tasks(" , ", chat=False, limit=None)


def test_without_the_package_the_command_is_printed(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("selfinstruct.evaluate.harness.is_installed", lambda: False)
    out = tmp_path / "out"
    arguments = ["evaluate", "--model", f"a={model_folder}", "--model", f"b={model_folder}"]
    arguments += ["--out", str(out), "--lm-eval", "hellaswag", "--few-shot", "b=3"]
    assert cli([*arguments, "--system", "a=Be kind."]) == 2
    captured = capfd.readouterr()
    first, second = map(shlex.split, captured.out.splitlines())
    assert first[0] == second[0] == "lm_eval"
    assert f"pretrained={model_folder},dtype=auto" in first
    assert first[first.index("--system_instruction") + 1] == "Be kind."
    assert second[second.index("--num_fewshot") + 1] == "3"
    assert second[second.index("--output_path") + 1] == str(out / "lm-eval" / "b")
    said = " ".join(captured.err.split())
    assert "lm-evaluation-harness is not installed here" in said
    assert "install lm-eval" in said
    assert not out.exists()


@pytest.mark.parametrize("option", [["--lm-eval-chat"], ["--lm-eval-limit", "5"]])
def test_options_of_no_tasks(
    option: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--model", "a=bundled", "--out", str(tmp_path / "out"), *option]
    assert cli(arguments) == 2
    assert f"{option[0]}: applies only to --lm-eval" in capfd.readouterr().err


def scores(text: str = "", **how: Any) -> tuple[ScriptedEngine, HarnessScores]:
    engine = ScriptedEngine(lambda _: text, **how)
    return engine, HarnessScores(engine, lambda *_: None)


def test_a_continuation_is_scored_with_its_context() -> None:
    engine, own = scores(" blue sky")
    found = own.log_likelihoods([("The", " blue"), ("The ", "red"), ("", "red")], [True] * 3)
    scored = [one for one in engine.requests if one.scored is not None]
    assert [one.prompt for one in scored] == ["The", "The", "\n"]
    assert [len(one.scored or ()) for one in scored] == [1, 1, 1]
    # The space at the end of a context belongs to what follows it.
    assert scored[1].scored == tuple(engine.encode(" red"))
    assert [greedy for _, greedy in found] == [True, False, False]
    assert all(score < 0 for score, _ in found)
    # Nothing is written where only the likelihood counts.
    engine, own = scores()
    own.log_likelihoods([("The", " blue")], [False])
    assert [one.scored is not None for one in engine.requests] == [True]


def test_a_context_that_is_too_long_loses_its_beginning() -> None:
    engine, own = scores(context_length=40)
    own.log_likelihoods([(" ".join(f"w{n}" for n in range(100)), " end")], [False])
    [request] = engine.requests
    prompt = str(request.prompt)
    assert prompt.endswith("w98 w99")
    assert 25 <= len(prompt.split()) <= 38


def test_a_long_text_is_scored_in_parts_that_make_it_up() -> None:
    engine, own = scores(context_length=40)
    text = " ".join(f"w{n}" for n in range(100))
    [total] = own.rolling([text])
    assert total < 0
    parts = ["".join(engine._words[id] for id in one.scored or ()) for one in engine.requests]
    assert len(parts) > 3
    assert "".join(parts).removeprefix("\n").replace("\n", "") == text
    assert all(
        len(str(one.prompt).split()) + len(one.scored or ()) <= 40 for one in engine.requests
    )


def test_what_is_written_stops_where_the_task_says() -> None:
    engine, own = scores("12")
    asked = [("3 + 9 =", {"until": ["\n"], "max_gen_toks": 5}), ("x", {"temperature": 0.7})]
    assert own.answers(asked) == ["12", "12"]
    first, second = (one.sampling for one in engine.requests)
    assert (first.stop, first.max_tokens, first.temperature) == (("\n",), 5, 0.0)
    assert (second.stop, second.max_tokens, second.temperature) == ((), 256, 0.7)


def test_conversations_are_rendered_by_the_models_template() -> None:
    _, own = scores()
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The"}]
    assert own.rendered(turns[:1], answers=True) == "<user>Hi<assistant>"
    assert own.rendered(turns, answers=False) == "<user>Hi<assistant>The"


def test_a_request_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    engine, own = scores()
    complete = engine._completion_of

    def failing(request: Request) -> Any:
        return replace(complete(request), error="no room")

    monkeypatch.setattr(engine, "_completion_of", failing)
    with pytest.raises(EngineError, match="no room"):
        own.answers([("x", {})])


def run(out: Path, asked: list[str], *names: str) -> Evaluation:
    def ask(loaded: Loaded, question: HarnessQuestion, advance: Advance) -> HarnessResults:
        asked.append(f"{loaded.model} {question.shots} {question.system}")
        right = [1.0, 1.0, 0.0, 1.0] if loaded.model == "a" else [0.0, 1.0, 0.0, 0.0]
        mean = sum(right) / 4
        raw = {"colours": {"acc,none": mean, "acc_stderr,none": 0.1}}
        return HarnessResults({"colours acc": mean}, {"colours acc": right}, raw, "0.4.13")

    conditions = Conditions(
        out,
        "auto",
        ask=lambda *_: ModelAnswers([], []),
        resolve=lambda name: LocalModel(name, Path(name), name, {}),
        advance=lambda *_: None,
    )
    contestants = [Contestant(name, name, shots=2, system="S") for name in names]
    harness = Harness(HarnessTasks(("colours",)), ask)
    return evaluate(contestants, Questions([], 8), conditions, harness=harness)


def test_results_are_kept_and_compared_row_by_row(tmp_path: Path) -> None:
    asked: list[str] = []
    run(tmp_path, asked, "a")
    found = run(tmp_path, asked, "a", "b")
    assert asked == ["a 2 S", "b 2 S"]
    assert found.means["a"] == {"colours acc": 0.75}
    [compared] = found.comparisons
    assert (compared.metric, compared.difference, compared.n) == ("colours acc", -0.5, 4)
    report = write_report(found, tmp_path)
    assert report["settings"]["lm_eval"] == {
        "names": ("colours",),
        "chat": False,
        "limit": None,
        "version": "0.4.13",
    }
    kept = json.loads((tmp_path / "lm-eval" / "b.json").read_text())
    assert kept["results"] == {"colours": {"acc,none": 0.25, "acc_stderr,none": 0.1}}
    assert "colours acc" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "answers").exists()


needs_package = pytest.mark.skipif(not find_spec("lm_eval"), reason="lm-eval is not installed")


@needs_package
def test_the_package_takes_the_command() -> None:
    from lm_eval._cli import HarnessCLI

    question = HarnessQuestion(HarnessTasks(("gsm8k", "arc_easy"), chat=True, limit=20), 5, "Hi.")
    for model in (LOCAL, SERVED):
        words = command(model, question)
        parsed = HarnessCLI()._parser.parse_args(["run", *words[1:]])
        assert parsed.model == words[2]
        assert parsed.tasks == ["gsm8k", "arc_easy"]
        assert (parsed.num_fewshot, parsed.limit) == (5, 20)
        assert parsed.system_instruction == "Hi."
        assert parsed.apply_chat_template


@needs_package
@pytest.mark.parametrize("chat", [False, True])
def test_the_package_asks_our_engine(
    task: Path, monkeypatch: pytest.MonkeyPatch, *, chat: bool
) -> None:
    engine = ScriptedEngine(lambda _: "red")
    blue = set(engine.encode("blue") + engine.encode(" blue"))
    monkeypatch.setattr(
        "selfinstruct.engines.scripted._logprob",
        lambda token, _: -0.5 if token in blue else -2.0,
    )
    names = f"{task},{task.parent / 'sums.yaml'}"
    tasks = harness_tasks(names, chat=chat, limit=3)
    question = HarnessQuestion(tasks, 0, "Be brief.")
    found = run_harness(engine, question=question, advance=lambda *_: None)
    assert len(found.values["colours acc"]) == 3
    if not chat:  # the scripted engine's words are no words beside its chat markup
        # It finds blue likelier, which is right in the second of three rows.
        assert found.values["colours acc"] == [0.0, 1.0, 0.0]
        assert found.means["colours acc"] == pytest.approx(1 / 3)
    assert found.means["sums exact_match"] == 1.0
    assert found.raw["colours"]["acc_stderr,none"] > 0
    prompts = [str(one.prompt) for one in engine.requests]
    assert all("Be brief." in prompt for prompt in prompts)
    written = [str(one.prompt) for one in engine.requests if one.scored is None]
    assert len(written) == 3
    assert all(prompt.endswith("<assistant>") == chat for prompt in written)


@needs_package
def test_the_command_line_hands_over(
    task: Path,
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    add_scripted(monkeypatch)
    arguments = ["evaluate", "--model", f"a={model_folder}", "--model", f"b={model_folder}"]
    arguments += ["--out", str(tmp_path / "out"), "--lm-eval", str(task), "--engine", "scripted"]
    for _ in range(2):  # the second time, nobody is asked again
        assert cli([*arguments, "--choices", "shipped", "--json"]) == 0, capfd.readouterr().err
        report = json.loads(capfd.readouterr().out)
        assert report["models"]["a"].keys() >= {"colours acc", "colours acc_norm"}
        compared = {one["metric"]: one["n"] for one in report["comparisons"]}
        assert (compared["colours acc"], compared["choice_accuracy"]) == (4, 50)
        monkeypatch.setattr("selfinstruct.evaluate.harness.run_harness", None)


@needs_package
def test_a_task_that_there_is_not() -> None:
    tasks = HarnessTasks(("no_such_task",))
    with pytest.raises(ConfigError, match="lm-eval has no such task; `lm-eval ls tasks`"):
        run_harness(
            ScriptedEngine(lambda _: ""), question=HarnessQuestion(tasks), advance=lambda *_: None
        )
