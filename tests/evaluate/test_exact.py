"""Exact match and its versions, McNemar's test, and contestants with a system prompt."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.records import LocalModel
from selfinstruct.engines.isolated import Advance, Loaded
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate.answers import ModelAnswers, Questions, answer_questions
from selfinstruct.evaluate.evaluation import Conditions, Contestant, Evaluation, _key, evaluate
from selfinstruct.evaluate.exact import SETTING, is_exact, mcnemar, version_of
from selfinstruct.evaluate.report import write_report
from selfinstruct.evaluate.tasks import EvalTask


@pytest.mark.parametrize(
    ("answer", "reference", "before", "now"),
    [
        ("Paris!", "Paris", False, True),
        ("the Paris.", "paris", True, True),
        ("1,000", "1000", False, True),
        ("4.0", "4", False, True),
        ("+12,345.60", "12345.6", False, True),
        ("0.0", "0", False, True),
        ("Python 3.10", "Python 3.1", False, False),
        ("1,00", "100", False, False),
        ("100", "10", False, False),
        ("1000 km", "1,000 km", False, False),
        ("北京!", "北京", False, True),
        ("!", "?", False, False),
    ],
)
def test_what_counts_as_the_same_answer(
    answer: str, reference: str, before: bool, now: bool
) -> None:
    assert is_exact(answer, reference, 1) is before
    assert is_exact(answer, reference) is now


def test_mcnemar_by_hand() -> None:
    # 5 tasks only the first has right, 1 only the second: 2·(C(6,0) + C(6,1)) / 2^6 = 14/64.
    first, second = [1.0] * 5 + [0.0, 1.0], [0.0] * 5 + [1.0, 1.0]
    assert mcnemar(first, second) == pytest.approx(14 / 64)
    assert mcnemar(second, first) == pytest.approx(14 / 64)
    assert mcnemar([1.0, math.nan], [1.0, 0.0]) == 1.0
    assert mcnemar([0.5], [1.0]) is None


TASKS = [EvalTask("a", "Name the capital of France.", "", "Paris", True, None)]


def compare(out: Path, *contestants: Contestant) -> tuple[Evaluation, list[str]]:
    prompts: list[str] = []

    def ask(loaded: Loaded, questions: Questions, advance: Advance) -> ModelAnswers:
        engine = ScriptedEngine(lambda _: "Paris!")
        answers = answer_questions(engine, questions, advance=advance)
        prompts.append(str(engine.requests[0].prompt))
        return answers

    def resolve(name: str) -> LocalModel:
        return LocalModel(name, Path(name), "digest", {})

    conditions = Conditions(out, "float32", ask, resolve, lambda *_: None)
    return evaluate(list(contestants), Questions(TASKS, 8), conditions), prompts


def test_an_evaluation_keeps_the_version_it_began_with(tmp_path: Path) -> None:
    two = Contestant("a", "a"), Contestant("b", "b")
    found, _ = compare(tmp_path, *two)
    assert found.means["a"]["exact_match"] == 1.0
    report = write_report(found, tmp_path)
    assert report["settings"][SETTING] == 2
    [exact] = [one for one in report["comparisons"] if one["metric"] == "exact_match"]
    assert exact["mcnemar"] == 1.0
    # An evaluation of before had no version in its settings.
    del report["settings"][SETTING]
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert version_of(tmp_path) == 1
    found, asked = compare(tmp_path, *two)
    assert asked == []
    assert found.means["a"]["exact_match"] == 0.0


def test_a_system_prompt_makes_a_contestant(tmp_path: Path) -> None:
    plain, told = Contestant("plain", "m"), Contestant("told", "m", system="Be honest.")
    found, asked = compare(tmp_path, plain, told)
    assert ["Be honest." in prompt for prompt in asked] == [False, True]
    assert found.settings["models"]["told"]["system"] == "Be honest."
    assert "system" not in found.settings["models"]["plain"]
    _, asked = compare(tmp_path, plain, told)
    assert asked == []
    other = Contestant("told", "m", system="Be kind.")
    _, asked = compare(tmp_path, plain, other)
    assert len(asked) == 1


def test_answers_of_before_there_were_system_prompts_are_found() -> None:
    assert "system" not in _key(Questions(TASKS, 8))
    assert _key(Questions(TASKS, 8, system="x"))["system"] == "x"


@pytest.mark.parametrize(
    ("system", "message"),
    [
        ("b=Be kind.", "--system b: no --model has this name"),
        ("Be kind.", "give NAME=TEXT or NAME=FILE"),
        ("a= ", "give NAME=TEXT or NAME=FILE"),
    ],
)
def test_system_prompts_that_cannot_be(
    system: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--model", "a=bundled", "--out", str(tmp_path / "out")]
    assert cli([*arguments, "--system", system]) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
