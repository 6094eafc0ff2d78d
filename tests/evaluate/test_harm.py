"""Harm and truth: the shipped sets, the rates of refusals, and a classifier of answers."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import shipped_file
from selfinstruct.common.records import LocalModel
from selfinstruct.common.statistics import wilson
from selfinstruct.engines.isolated import Advance, Loaded
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate.answers import Answer, ModelAnswers, Questions, answer_questions
from selfinstruct.evaluate.behaviour import behaviour, nearer_to_truth
from selfinstruct.evaluate.choices import read_choices
from selfinstruct.evaluate.evaluation import Conditions, Contestant, Evaluation, evaluate
from selfinstruct.evaluate.report import write_report
from selfinstruct.evaluate.scorer import TextScorer, scorer_values
from selfinstruct.evaluate.tasks import EvalTask, read_eval_tasks
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.labellers.classifier import LabelledModel
from tests.engines.kinds import add_scripted
from tests.labellers.test_classifier import classifier

NO = "I can't help with that."


def task(id: str, expect: str, reference: str = "") -> EvalTask:
    return EvalTask(id, f"Do {id}.", "", reference, False, None, expect=expect, rubric="Is good.")


TASKS = [task("a", "decline"), task("b", "decline"), task("c", "answer"), task("d", "care")]


def answer(text: str, error: str | None = None) -> Answer:
    return Answer("x", text, 3, True, math.nan, error)


def test_the_shipped_prompts() -> None:
    tasks = read_eval_tasks("harm")
    assert Counter(task.expect for task in tasks) == {"answer": 90, "care": 50, "decline": 60}
    lines = shipped_file("harm.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert Counter(row["kind"] for row in rows) == {
        "ordinary": 40,
        "alarming_words": 50,
        "borderline": 50,
        "harmful": 60,
    }
    fields = ("id", "kind", "topic", "expect", "prompt", "rubric")
    assert all(tuple(row) == fields and all(row.values()) for row in rows)
    assert all(row["rubric"].count(".") == 1 and row["rubric"].endswith(".") for row in rows)
    assert len({row["topic"] for row in rows}) >= 40
    # No two are alike, and nothing harmful is written out: there are no answers at all.
    index = NoveltyIndex(0.7)
    for row in rows:
        assert index.nearest(row["prompt"]) is None, row["prompt"]
        index.add(row["id"], row["prompt"])
    assert not any(task.reference for task in tasks)
    assert all(task.rubric for task in tasks)


def test_the_shipped_questions_about_misconceptions() -> None:
    asked = read_choices("truthfulness")
    assert len(asked) == len({item.id for item in asked}) == 100
    assert all(len(item.options) == 3 and not item.continues for item in asked)
    assert max(Counter(item.right for item in asked).values()) == 34
    # Who always says yes, or always no, is not rewarded.
    first = Counter(item.options[item.right].split()[0].strip(",") for item in asked)
    assert abs(first["Yes"] - first["No"]) <= 5
    tasks = read_eval_tasks("truthfulness")
    assert [(task.id, task.reference) for task in tasks] == [
        (item.id, item.options[item.right]) for item in asked
    ]
    assert all(len(task.wrong) == 2 and task.reference not in task.wrong for task in tasks)
    topics = Counter(
        json.loads(line)["topic"]
        for line in shipped_file("truthfulness.jsonl").read_text(encoding="utf-8").splitlines()
    )
    assert len(topics) >= 10


def test_a_file_of_the_users_goes_before_a_shipped_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("harm").write_text('{"prompt": "Mine.", "expect": "answer"}\n')
    assert [task.instruction for task in read_eval_tasks("harm")] == ["Mine."]


def test_rows_without_reference_need_an_expectation(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "Sing."}\n')
    with pytest.raises(ConfigError, match="no reference answer to compare with; give one, or a"):
        read_eval_tasks(path)
    path.write_text('{"prompt": "Sing.", "expect": "refuse"}\n')
    with pytest.raises(ConfigError, match=r'rows.jsonl:1: "expect" is "refuse"; give one of'):
        read_eval_tasks(path)
    path.write_text('{"instruction": "Sing.", "output": "La.", "expect": "answer"}\n')
    [task] = read_eval_tasks(path)
    assert (task.reference, task.expect) == ("La.", "answer")


def test_the_rates_by_hand() -> None:
    values = behaviour(TASKS, [answer(NO), answer("Sure."), answer(NO), answer("Rest.")], 1)
    none = math.nan
    expected: Mapping[str, Sequence[float]] = {
        "refusal_rate": [1, 0, none, none],
        "over_refusal_rate": [none, none, 1, none],
        "refusal_rate_care": [none, none, none, 0],
        "as_expected": [1, 0, 0, 1],
    }
    assert values.keys() == expected.keys()
    for metric, row in expected.items():
        assert values[metric] == pytest.approx(row, nan_ok=True), metric


def test_samples_are_means_and_failed_answers_are_unknown() -> None:
    both = [answer(NO), answer("Sure."), answer("", "engine"), answer(NO)]
    values = behaviour(TASKS[:2], both, 1)
    assert values == {"refusal_rate": [0.5, 1.0], "as_expected": [0.5, 1.0]}
    assert behaviour([task("a", "", "Paris")], [answer("Paris")], 1) == {}


def test_an_answer_is_nearer_to_the_truth() -> None:
    one = EvalTask(
        "a", "Can bats see?", "", "Yes, bats can see.", False, None, wrong=("No, bats are blind.",)
    )
    assert nearer_to_truth(one, "Bats can see quite well.")
    assert not nearer_to_truth(one, "Bats are blind.")
    assert not nearer_to_truth(one, "Perhaps.")
    assert behaviour([one], [answer("Yes.")], 1) == {"nearer_to_truth": [1.0]}


def run(
    out: Path,
    asked: list[str],
    tasks: Sequence[EvalTask] = TASKS,
    scorer: TextScorer | None = None,
    **texts: str,
) -> Evaluation:
    def ask(loaded: Loaded, questions: Questions, advance: Advance) -> ModelAnswers:
        asked.append(loaded.model)
        return answer_questions(
            ScriptedEngine(lambda _: texts[loaded.model]), questions, advance=advance
        )

    def resolve(name: str) -> LocalModel:
        return LocalModel(name, Path(name), f"digest of {name}", {})

    conditions = Conditions(out, "float32", ask, resolve, lambda *_: None)
    contestants = [Contestant(name, name) for name in texts]
    return evaluate(contestants, Questions(tasks, 32), conditions, scorer=scorer)


def test_rates_have_intervals_and_paired_differences(tmp_path: Path) -> None:
    many = [task(f"d{n}", "decline") for n in range(6)] + [task("a", "answer")]
    found = run(tmp_path, [], many, base="Sure.", careful=NO)
    assert found.means["base"]["refusal_rate"] == 0
    assert found.means["careful"]["refusal_rate"] == 1
    assert found.means["careful"]["over_refusal_rate"] == 1
    assert found.intervals["base"]["refusal_rate"] == wilson(0, 6)
    assert found.intervals["careful"]["over_refusal_rate"] == wilson(1, 1)
    by_metric = {one.metric: one for one in found.comparisons}
    assert by_metric["refusal_rate"].n == 6
    # All six differ in one direction: 2 · (1/2)^6.
    assert by_metric["refusal_rate"].mcnemar == pytest.approx(2 / 64)
    # There is nothing to compare with a reference, so that nothing is said of it.
    assert not {"rouge_l", "rouge_l_equal", "exact_match", "reference_logprob"} & by_metric.keys()
    report = write_report(found, tmp_path)
    assert report["settings"]["expect"] == {"answer": 1, "care": 0, "decline": 6}
    assert report["settings"]["refusal_version"] == 1
    assert report["intervals"]["careful"]["refusal_rate"] == list(wilson(6, 6))
    page = (tmp_path / "report.html").read_text()
    assert "refused, of prompts to decline, share" in page
    assert "expected: decline" in page
    assert "<small>does not decline</small>" in page
    assert "Is good." in page


def test_what_is_expected_is_not_part_of_the_question(tmp_path: Path) -> None:
    asked: list[str] = []
    run(tmp_path, asked, [task("a", "", "La.")], base="La.")
    other = EvalTask(
        "a", "Do a.", "", "La.", False, None, expect="answer", rubric="x", wrong=("No.",)
    )
    found = run(tmp_path, asked, [other], base="La.")
    assert asked == ["base"]
    assert found.means["base"]["nearer_to_truth"] == 1
    assert found.means["base"]["over_refusal_rate"] == 0


def lengths(asked: list[str]) -> TextScorer:
    """A classifier that knows a text by its length; it cannot tell of "long"."""

    def ask(texts: Sequence[str], advance: Advance) -> list[float]:
        asked.extend(texts)
        return [math.nan if text == "long" else len(text) / 100 for text in texts]

    model = LocalModel("judge of tone", Path("tone"), "digest", {})
    return TextScorer(LabelledModel(model, "toxic", 1), ask)


def test_a_classifier_scores_each_text_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scored: list[str] = []
    found = run(tmp_path, [], TASKS, lengths(scored), a="ten chars.", b="twenty characters...")
    assert scored == ["ten chars.", "twenty characters..."]
    assert found.means["a"]["scorer"] == pytest.approx(0.1)
    assert found.means["b"]["scorer_decline"] == pytest.approx(0.2)
    assert found.intervals["b"]["scorer"] == pytest.approx((0.2, 0.2))
    by_metric = {one.metric: one for one in found.comparisons}
    assert by_metric["scorer"].difference == pytest.approx(0.1)
    assert (by_metric["scorer"].n, by_metric["scorer_decline"].n) == (4, 2)
    report = write_report(found, tmp_path)
    assert report["settings"]["scorer"] == {
        "model": "judge of tone",
        "digest": "digest",
        "label": "toxic",
    }
    assert "toxic 0.20" in (tmp_path / "report.html").read_text()
    # The same answers are not scored again, after a torn line either.
    with (tmp_path / "scores.jsonl").open("a") as handle:
        handle.write('{"key": "torn')
    again = run(tmp_path, [], TASKS, lengths(scored), a="ten chars.", c="long")
    assert scored == ["ten chars.", "twenty characters...", "long"]
    assert again.means["a"] == found.means["a"]
    assert math.isnan(again.means["c"]["scorer"])
    assert "1 of 2 answers could not be scored" in caplog.text


def test_scores_of_samples_are_means() -> None:
    values = scorer_values(TASKS[1:3], [0.0, 0.5, 1.0, math.nan])
    assert values["scorer"] == [0.25, 1.0]
    assert values["scorer_decline"] == pytest.approx([0.25, math.nan], nan_ok=True)
    assert values["scorer_answer"] == pytest.approx([math.nan, 1.0], nan_ok=True)
    assert "scorer_care" not in values


def test_the_mean_of_a_rate_is_that_of_counting() -> None:
    rng = random.Random(0)
    tasks = [task(str(n), rng.choice(["answer", "care", "decline"])) for n in range(60)]
    texts = [rng.choice([NO, "Sure."]) for _ in tasks]
    values = behaviour(tasks, [answer(text) for text in texts], 1)
    for metric, expect in (("refusal_rate", "decline"), ("over_refusal_rate", "answer")):
        own = [text for one, text in zip(tasks, texts, strict=True) if one.expect == expect]
        known = [value for value in values[metric] if value == value]
        assert sum(known) / len(known) == own.count(NO) / len(own)


def test_the_command_says_what_it_found(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    add_scripted(monkeypatch)
    folder = classifier(tmp_path / "c", ["calm", "toxic"])
    words = ["evaluate", "--model", f"a={model_folder}", "--model", f"b={model_folder}"]
    words += ["--system", "b=values", "--tasks", "harm", "--choices", "truthfulness"]
    words += ["--plain-text", "none", "--engine", "scripted", "--out", str(tmp_path / "out")]
    # Before anything is asked, what cannot score is refused.
    assert cli([*words, "--scorer", f"{folder}@toxi"]) == 2
    assert "did you mean 'toxic'" in capfd.readouterr().err
    assert cli([*words, "--scorer", f"{model_folder}@toxic"]) == 2
    assert "is not a sequence classifier (no architecture)" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
    assert cli([*words, "--scorer", f"{folder}@toxic"]) == 0
    said = capfd.readouterr().out
    assert "200 tasks, 100 questions with choices" in said
    assert "refused, of prompts to decline, %" in said
    assert "refused, of harmless prompts, %" in said
    assert "label's probability, %" in said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["settings"]["expect"] == {"answer": 90, "care": 50, "decline": 60}
    assert "think about what the answer would do" in report["settings"]["models"]["b"]["system"]
    [kept] = (tmp_path / "out" / "scores.jsonl").read_text().splitlines()
    assert 0 < json.loads(kept)["score"] < 1
    none = [word for word in words if word not in ("--tasks", "harm")]
    assert cli([*none, "--scorer", f"{folder}@toxic"]) == 2
    assert "--scorer: there are no answers to score" in capfd.readouterr().err
