"""Answers, measures, intervals and the report, on the scripted engine."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from selfinstruct.common.errors import ConfigError, EngineError
from selfinstruct.common.jsonlines import append_line
from selfinstruct.common.records import LocalModel, Request
from selfinstruct.common.statistics import paired_difference
from selfinstruct.engines.isolated import Advance, Loaded
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate.answers import Answer, ModelAnswers, Questions, answer_questions
from selfinstruct.evaluate.compare import compare_all
from selfinstruct.evaluate.evaluation import Conditions, Contestant, Evaluation, evaluate
from selfinstruct.evaluate.metrics import MEASURES, equal_length, mean, measure, rouge_l_equal
from selfinstruct.evaluate.report import write_report
from selfinstruct.evaluate.tasks import EvalTask
from selfinstruct.evaluate.verdicts import Judge
from selfinstruct.evaluate.wins import Decided
from selfinstruct.filters.similarity import normalised
from selfinstruct.inputs.shots import Shot
from selfinstruct.labellers.duels import Duel

TASKS = [
    EvalTask("a", "Name the capital of France.", "", "Paris", True, "search"),
    EvalTask(
        "b", "Thank <b>Ann</b>.", "She sent a book.", "Dear Ann, thank you for it.", False, None
    ),
    EvalTask("c", "Yes or no?", "Is ice cold?", "yes", True, None),
]
PASSAGES = ["Ann lost her red scarf. She looked, and there lay the scarf.", "One two three four."]


def answer(text: str, *, stopped: bool = True, score: float = -1.0) -> Answer:
    return Answer("x", text, len(text.split()), stopped, score)


def test_every_model_is_asked_alike() -> None:
    engine = ScriptedEngine(lambda request: (" The capital is Paris.", "stop"))
    answers = answer_questions(engine, Questions(TASKS, 40, [Shot("One?", "Two.")])).answers
    asked = [r for r in engine.requests if r.scored is None]
    assert {r.sampling.max_tokens for r in asked} == {40}
    assert {r.sampling.temperature for r in asked} == {0.0}
    assert all("\n### Task" in r.sampling.stop for r in asked)
    assert asked[1].prompt == (
        "<user>One?<assistant>Two.<user>Thank <b>Ann</b>.\n\nShe sent a book.<assistant>"
    )
    assert [a.text for a in answers] == ["The capital is Paris."] * 3
    scored = [r for r in engine.requests if r.scored is not None]
    assert [r.prompt for r in scored] == [r.prompt for r in asked]
    assert all(a.reference_logprob < 0 for a in answers)


def test_a_model_without_a_template_gets_the_canonical_text() -> None:
    class Base(ScriptedEngine):
        has_chat_template = False  # type: ignore[assignment]

    engine = Base(lambda request: "Paris")
    answer_questions(engine, Questions(TASKS[1:2], 8, [Shot("One?", "Two.")]))
    assert engine.requests[0].prompt == (
        "### Task\nOne?\n\n### Answer\nTwo.\n\n"
        "### Task\nThank <b>Ann</b>.\n\nShe sent a book.\n\n### Answer\n"
    )


def test_what_is_measured() -> None:
    answers = [
        answer("The Paris."),
        answer("Dear Ann, thanks for it and more and more", stopped=False),
    ]
    answers.append(answer(""))
    values = measure(TASKS, answers)
    assert values.keys() == MEASURES.keys()
    oracle = RougeScorer(["rougeL"], use_stemmer=True)
    for task, one, found in zip(TASKS, answers, values["rouge_l"], strict=True):
        assert found == oracle.score(task.reference, one.text)["rougeL"].fmeasure
    # Six words of the reference, six of the answer; all but "thanks" -> "thank", "you" match.
    cut = oracle.score("Dear Ann, thank you for it.", "Dear Ann, thanks for it and")["rougeL"]
    assert values["rouge_l_cut"][1] == cut.fmeasure
    assert values["exact_match"][0] == 1.0
    assert math.isnan(values["exact_match"][1])
    assert values["exact_match"][2] == 0.0
    assert values["empty"] == [0.0, 0.0, 1.0]
    assert values["never_stopping"] == [0.0, 1.0, 0.0]
    assert values["length"] == [2.0, 9.0, 0.0]
    assert mean(values["exact_match"]) == 0.5
    assert math.isnan(mean([math.nan]))


def test_two_answers_at_one_length() -> None:
    task = TASKS[1]  # "Dear Ann, thank you for it."
    short, long = answer("Dear Ann, thank you"), answer("Dear Ann, I write, and thank you for it.")
    oracle = RougeScorer(["rougeL"], use_stemmer=True)
    first, second = (
        oracle.score(task.reference, text)["rougeL"].fmeasure
        for text in ("Dear Ann, thank you", "Dear Ann, I write,")
    )
    assert rouge_l_equal(task, short, long) == (first, second)
    assert rouge_l_equal(task, long, short) == (second, first)
    assert first > second
    assert rouge_l_equal(task, short, answer("")) == (0.0, 0.0)
    refused = replace(short, error="too long")
    found = equal_length([task, task], [short, refused], [long, long])
    assert (found[0][0], found[1][0]) == (first, second)
    assert math.isnan(found[0][1])
    # Two samples a task: the mean of both.
    assert equal_length([task], [short, short], [long, short])[0] == [
        pytest.approx((first + oracle.score(task.reference, short.text)["rougeL"].fmeasure) / 2)
    ]


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("The answer.", "answer", True),
        ("“Paris”", "paris", True),
        ("3.5", "35", False),
        ("-4", "4", False),
        ("10:30", "1030", False),
        ("yes", "no", False),
        ("A", "B", False),
        ("a", "", False),
        ("A", "a.", True),
        ("50%", "50", False),
        ("C#", "C", False),
        ("<", ">", False),
        ("**Paris**", "Paris", True),
        ("don’t", "don't", True),
    ],
)
def test_closed_answers(text: str, other: str, same: bool) -> None:
    assert (normalised(text) == normalised(other)) == same


def test_the_interval_of_a_paired_difference() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        noise = rng.normal(size=60)
        first = list(0.5 + noise + rng.normal(scale=0.5, size=60))
        second = list(noise)
        _, low, high, count = paired_difference(first, second, seed=trial, resamples=400)
        assert count == 60
        hits += low <= 0.5 <= high
    assert 0.88 <= hits / 200 <= 0.99  # a 95 % interval, 200 trials
    assert paired_difference([1.0, math.nan], [1.0, 2.0])[:3] == (0.0, 0.0, 0.0)
    assert paired_difference([math.nan], [1.0])[3] == 0


def test_each_later_model_is_compared_with_each_earlier_one() -> None:
    values = {"base": {"m": [0.0, 0.0]}, "sft": {"m": [1.0, 1.0]}, "dpo": {"m": [3.0, 3.0]}}
    found = {(one.a, one.b): one.difference for one in compare_all(values)}
    assert found == {("sft", "base"): 1.0, ("dpo", "base"): 3.0, ("dpo", "sft"): 2.0}


def model(name: str) -> LocalModel:
    return LocalModel(name, Path(name), f"digest of {name}", {})


def run(
    out: Path, asked: list[str], judge: Any = None, judged: int | None = None, **texts: str
) -> Evaluation:
    def ask(loaded: Loaded, questions: Questions, advance: Advance) -> ModelAnswers:
        asked.append(loaded.model)
        if texts[loaded.model] == "dies":
            raise EngineError("the engine died")
        engine = ScriptedEngine(lambda request: texts[loaded.model])
        return answer_questions(engine, questions, advance=advance)

    return evaluate(
        [Contestant(name, name, shots=2 if name == "few" else 0) for name in texts],
        Questions(TASKS, 32, passages=PASSAGES),
        Conditions(out, "float32", ask, resolve=model, advance=lambda *_: None),
        Judge(model("a judge"), "template", "float32", judge, judged) if judge else None,
    )


def test_an_evaluation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    asked: list[str] = []
    with pytest.raises(EngineError):
        run(tmp_path, asked, base="Paris", sft="dies")
    found = run(tmp_path, asked, base="Paris", sft="yes")
    assert asked == ["base", "sft", "sft"]
    assert found.answers["base"][0].text == "Paris"
    # All is there: nobody is asked again. Another model is another question.
    assert run(tmp_path, asked, base="Paris", sft="yes").means == found.means
    assert len(asked) == 3
    run(tmp_path, asked, base="Paris", few="yes")
    assert asked[3:] == ["few"]


def test_the_report(tmp_path: Path) -> None:
    found = run(tmp_path, [], base="no", few="<script>alert(1)</script> yes", sft="Paris")
    report = write_report(found, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert report["models"]["sft"]["exact_match"] == 0.5
    first = report["comparisons"][0]
    assert first.keys() == {"a", "b", "metric", "difference", "low", "high", "n"}
    assert (first["a"], first["b"], first["n"]) == ("few", "base", 3)
    assert report["models"]["sft"]["last_word"] == 0.0
    assert report["models"]["sft"]["perplexity"] > 1
    assert {one["n"] for one in report["comparisons"] if one["metric"] == "last_word"} == {2}
    page = (tmp_path / "report.html").read_text()
    shown = found.comparisons
    clear = sum(one.low > 0 or one.high < 0 for one in shown)
    assert 0 < clear < len(shown)
    assert page.count('fill="#2e9e5b"') == clear
    assert page.count('fill="#888"') == len(shown) - clear
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; yes" in page
    assert "Thank &lt;b&gt;Ann&lt;/b&gt;." in page
    assert not re.search(r"(?:src|href)=|https?://(?!www\.w3\.org)", page)
    assert report["settings"]["models"]["few"]["shots"] == 2


def test_names_must_differ(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two models have one name"):
        evaluate(
            [Contestant("a", "x"), Contestant("a", "y")],
            Questions(TASKS, 8),
            Conditions(
                tmp_path,
                "auto",
                ask=lambda *_: ModelAnswers([], []),
                resolve=model,
                advance=lambda *_: None,
            ),
        )


def test_scored_references_are_those_of_the_task() -> None:
    def script(request: Request) -> str:
        return "x"

    engine = ScriptedEngine(script)
    answer_questions(engine, Questions(TASKS, 8))
    scored = [r.scored for r in engine.requests if r.scored is not None]
    assert scored == [tuple(engine.encode(task.reference)) for task in TASKS]


def test_what_could_not_be_asked_is_unknown_and_not_wrong() -> None:
    failed = Answer("a", "", 0, False, math.nan, error="prompt of 9 tokens, context of 8")
    values = measure(TASKS[:1], [failed])
    assert all(math.isnan(one) for own in values.values() for one in own)


def test_samples_of_a_task_are_drawn_apart_and_counted_once() -> None:
    texts = iter(["Paris", "Rome", "Dear Ann", "", "yes", "yes"])
    engine = ScriptedEngine(lambda request: next(texts))
    asked = Questions(TASKS, 8, samples=2, temperature=0.9)
    answers = answer_questions(engine, asked).answers
    written = [r for r in engine.requests if r.scored is None]
    assert {r.sampling.temperature for r in written} == {0.9}
    assert len({r.seed for r in written}) == 6
    values = measure(TASKS, answers)
    assert values["exact_match"][0] == 0.5
    assert values["exact_match"][2] == 1.0
    assert values["empty"] == [0.0, 0.5, 0.0]


def test_the_judge_is_asked_about_each_pair_and_its_votes_are_reported(tmp_path: Path) -> None:
    seen: list[Duel] = []

    def judge(duels: dict[str, Duel], path: Path, advance: Advance) -> None:
        seen.extend(duels.values())
        # "yes" beats all, "no" nothing; equal strength otherwise.
        worth = {"yes": 2, "maybe": 1, "no": 0}
        for key, d in duels.items():
            won = worth[d.first] > worth[d.second] if d.task.startswith("Name") else 0.5
            append_line(path, {"key": key, "preference": float(won), "margin": 1.0})

    found = run(tmp_path, [], judge, base="no", few="maybe", sft="yes")
    assert len(seen) == 3 * len(TASKS)
    assert seen[1].task == "Thank <b>Ann</b>.\n\nShe sent a book."
    # Its verdicts are kept: nobody is asked again, but about a model that came since.
    assert run(tmp_path, [], judge, base="no", few="maybe", sft="yes").wins == found.wins
    assert len(seen) == 3 * len(TASKS)
    run(tmp_path, [], judge, base="no", few="maybe", sft="yes", dpo="maybe")
    assert len(seen) == 5 * len(TASKS)  # against `base`, its answers are known already
    agreeing = [one for one in found.wins if one.decided is Decided.AGREEING]
    rates = {(one.a, one.b): (one.rate, one.ties, one.n) for one in agreeing}
    assert rates[("sft", "base")] == (pytest.approx(2 / 3), 2, 3)
    assert rates[("sft", "few")] == (pytest.approx(2 / 3), 2, 3)
    assert [one.model for one in found.ratings] == ["sft", "few", "base"]
    report = write_report(found, tmp_path)
    wins = [one for one in report["comparisons"] if one["metric"] == "win_rate"]
    assert wins[0]["difference"] == pytest.approx(1 / 3)
    # The margins of this judge are all for the first, whatever its votes.
    balance = [one for one in report["wins"] if one["decided"] == "balance"]
    assert [(one["rate"], one["ties"]) for one in balance] == [(1.0, 0)] * 3
    assert report["settings"]["judge"] == "a judge"
    page = (tmp_path / "report.html").read_text()
    assert "sft against base" in page
    assert "66.7 %" in page
    # Of the first tasks alone, if so asked: the others count for nothing.
    some = run(tmp_path, [], judge, judged=2, base="no", few="maybe", sft="yes")
    assert [one.n for one in some.wins] == [2] * 6
    assert some.settings["judged_tasks"] == 2
