"""Checks that rows bring with them, and pass@k."""

from __future__ import annotations

import json
import math
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.engines.isolated import Advance, Loaded
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate.answers import Answer, ModelAnswers, Questions, answer_questions
from selfinstruct.evaluate.checks import CHECKS, check_of, passes_check
from selfinstruct.evaluate.evaluation import Conditions, Contestant, Evaluation, _key, evaluate
from selfinstruct.evaluate.measured import intervals_of
from selfinstruct.evaluate.pass_at import pass_at, pass_rates
from selfinstruct.evaluate.report import write_report
from selfinstruct.evaluate.tasks import EvalTask, read_eval_tasks


@pytest.mark.parametrize(
    ("check", "text", "good"),
    [
        ({"exact": "Paris"}, "The Paris!", True),
        ({"exact": ["1000", "one thousand"]}, "1,000", True),
        ({"exact": "Paris"}, "It is Paris.", False),
        ({"contains": "Paris"}, "It is PARIS, I think.", True),
        ({"contains": "red"}, "I was bored.", False),
        ({"contains": ["red", "blue"]}, "Blue and red.", True),
        ({"contains": ["red", "blue"]}, "Red alone.", False),
        ({"contains": "C++"}, "Write it in C++.", True),
        ({"contains": "北京"}, "首都是北京。", True),
        ({"number": 12}, "3 times 4 is 12.", True),
        ({"number": 12}, "12 is not what 3 + 4 is; that is 7.", False),
        ({"number": "1,000"}, "They are 1000.0 in all", True),
        ({"number": -2.5}, "It fell to -2.50 degrees.", True),
        ({"number": 1}, "none", False),
        ({"regex": r"^\d{4}-\d{2}$"}, "2024-05", True),
        ({"regex": r"^\d{4}-\d{2}$"}, "May 2024", False),
        ({"json": []}, "[1, 2]", True),
        ({"json": ["name"]}, '```json\n{"name": "Ann"}\n```', True),
        ({"json": ["age"]}, '{"name": "Ann"}', False),
        ({"json": ["age"]}, "[1]", False),
        ({"json": []}, "no JSON", False),
        ({"json": []}, "7", False),
        ("exact", "the reference", True),
        ('{"number": 4}', "4", True),
        ({"number": 4, "regex": None}, "4", True),
    ],
)
def test_checks(check: Any, text: str, good: bool) -> None:
    assert passes_check(text, check_of(check, "rows:1", "reference")) == good


def test_an_expression_that_never_ends_is_given_up() -> None:
    check = check_of({"regex": r"^(a|aa)+$"}, "rows:1", "")
    start = time.monotonic()
    assert not passes_check("a" * 60 + "b", check)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ({"equals": "x"}, "give one of exact, contains, number, regex, json with its value"),
        ({"exact": "x", "number": 1}, "give one of"),
        ("python", 'is "python"; give one of'),
        ({"number": "a dozen"}, 'has "number": "a dozen"; give a number'),
        ({"number": [1, 2]}, "give a number"),
        ({"number": True}, "give a number"),
        ({"regex": "("}, r'has "regex": "\(" \(.*\); give a regular expression'),
        ({"contains": []}, "give a text, or a list of texts"),
        ({"exact": " "}, "give a text, or a list of texts"),
        ({"json": {"a": 1}}, "give a list of keys"),
    ],
)
def test_checks_that_are_none(check: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps({"instruction": "Go.", "output": "x", "check": check}))
    with pytest.raises(ConfigError, match=rf'tasks.jsonl:1: "check" .*{message}'):
        read_eval_tasks(path)


def test_the_examples_of_the_docs_are_checks() -> None:
    for kind in CHECKS:
        assert check_of({kind.name: kind.example}, "docs", "")[0] == kind.name


@pytest.mark.parametrize(("samples", "passed"), [(5, 0), (5, 1), (5, 3), (5, 5), (8, 2)])
def test_pass_at_is_the_share_of_all_ways_to_draw(samples: int, passed: int) -> None:
    """The mean over every k of the n samples, counted one by one."""
    outcomes = [n < passed for n in range(samples)]
    for k in range(1, samples + 1):
        draws = [any(own) for own in combinations(outcomes, k)]
        assert pass_at(k, samples, passed) == pytest.approx(sum(draws) / len(draws))


def answer(text: str, error: str | None = None) -> Answer:
    return Answer("x", text, 1, True, math.nan, error)


def test_the_rates_of_tasks() -> None:
    tasks = [
        EvalTask("a", "Add.", "", "4", False, None, ("number", ("4",))),
        EvalTask("b", "Capital?", "", "Paris", True, None),
        EvalTask("c", "Sing.", "", "La", False, None),
        EvalTask("d", "Add.", "", "4", False, None, ("number", ("4",))),
    ]
    answers = [answer("4"), answer("five"), answer("Paris!"), answer("Paris"), answer("La")]
    answers += [answer("La"), answer("4"), answer("", error="no room")]
    rates = pass_rates(tasks, answers, (1, 2))
    assert rates["pass_at_1"][:2] == [0.5, 1.0]
    assert rates["pass_at_2"][:2] == [1.0, 1.0]
    assert math.isnan(rates["pass_at_1"][2])  # it has no check
    assert rates["pass_at_1"][3] == 1.0  # one of two could be had
    assert math.isnan(rates["pass_at_2"][3])
    # Values between: the interval is that of the bootstrap, around the mean.
    low, high = intervals_of(rates)["pass_at_1"]
    assert 0.5 <= low < 2.5 / 3 < high <= 1


TASKS = [EvalTask("a", "Add 2 and 2.", "", "4", False, None, ("number", ("4",)))]


def run(out: Path, asked: list[str], tasks: list[EvalTask], at: tuple[int, ...]) -> Evaluation:
    def ask(loaded: Loaded, questions: Questions, advance: Advance) -> ModelAnswers:
        asked.append(loaded.model)
        texts = iter(["4", "5", "It is 4.", "no"])
        return answer_questions(ScriptedEngine(lambda _: next(texts)), questions, advance=advance)

    conditions = Conditions(
        out, "auto", ask, lambda name: LocalModel(name, Path(name), "d", {}), lambda *_: None
    )
    questions = Questions(tasks, 8, samples=4, temperature=0.8, pass_at=at)
    return evaluate([Contestant("m", "m")], questions, conditions)


def test_another_check_or_k_asks_nobody_again(tmp_path: Path) -> None:
    asked: list[str] = []
    found = run(tmp_path, asked, TASKS, (1, 2))
    # 2 of 4 pass: 1 − C(2, 2)/C(4, 2) = 5/6.
    assert found.means["m"]["pass_at_1"] == 0.5
    assert found.means["m"]["pass_at_2"] == pytest.approx(5 / 6)
    report = write_report(found, tmp_path)
    assert report["settings"]["checked"] == 1
    assert report["intervals"]["m"].keys() == {"pass_at_1", "pass_at_2"}
    assert "pass@2 of tasks with checks, share" in (tmp_path / "report.html").read_text()
    other = [EvalTask("a", "Add 2 and 2.", "", "4", False, None, ("regex", ("^no",)))]
    assert run(tmp_path, asked, other, (4,)).means["m"]["pass_at_4"] == 1.0
    assert asked == ["m"]


def test_what_answers_depend_on_is_what_it_was() -> None:
    plain = [EvalTask("a", "Add 2 and 2.", "", "4", False, None)]
    before = {"tasks", "max_tokens", "shots", "samples", "temperature", "passages"}
    assert _key(Questions(TASKS, 8, pass_at=(1,))) == _key(Questions(plain, 8))
    assert _key(Questions(plain, 8)).keys() == before
    assert _key(Questions(plain, 8))["tasks"][0].keys() == {
        *("id", "instruction", "input", "reference", "closed", "application")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pass-at", "x"], "--pass-at x: give numbers from 1, such as 1,5"),
        (["--pass-at", "0"], "give numbers from 1"),
        (["--pass-at", "1,8", "--samples", "4"], "needs --samples 8 or more, not 4"),
        (["--pass-at", "2", "--tasks", "FILE"], "--pass-at: no task has a check; give --tasks"),
        (["--pass-at", "2", "--choices", "shipped"], "--pass-at: no task has a check"),
        (["--judge", "bundled", "--choices", "shipped"], "--judge: there are no answers to judge"),
        (["--few-shot", "b=2"], "--few-shot b: no --model has this name"),
        (["--few-shot", "many"], "give N for all models, or NAME=N"),
        (["--choices", "FILE"], "which evaluate --choices cannot use: there are no choices"),
        (["--pairs", "FILE"], "it ranks a better and a worse answer to one prompt"),
        (
            ["--tasks", "FILE", "--choices", "shipped", "--format", "alpaca"],
            "--tasks and --choices have rows of their own",
        ),
    ],
)
def test_options_that_cannot_be(
    words: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps({"instruction": "Sing.", "output": "La."}))
    words = [str(path) if word == "FILE" else word for word in words]
    arguments = ["evaluate", "--model", "a=bundled", "--out", str(tmp_path / "out")]
    assert cli([*arguments, *words]) == 2
    assert message in " ".join(capfd.readouterr().err.split())
    assert not (tmp_path / "out").exists()
