"""Texts ranked by their likelihood: questions with choices, and pairs of answers."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Conversation, LocalModel, Message
from selfinstruct.engines.base import ALL
from selfinstruct.engines.isolated import Advance, Loaded
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate.answers import ModelAnswers, Questions, answer_questions
from selfinstruct.evaluate.choices import SHIPPED, read_choices, read_ranked_pairs
from selfinstruct.evaluate.evaluation import Conditions, Contestant, Evaluation, evaluate
from selfinstruct.evaluate.measured import intervals_of, values_of
from selfinstruct.evaluate.rankings import (
    Before,
    Ranked,
    RankedScore,
    joined,
    margin,
    others,
    ranking_requests,
    right_in_all,
    right_logprob,
    right_per_token,
)
from selfinstruct.evaluate.report import write_report
from selfinstruct.inputs.shots import Shot


def turn(text: str, role: str = "user") -> Message:
    return Message(role=role, content=text)


def ending(text: str, *options: str, right: int = 0, id: str = "e") -> Ranked:
    return Ranked(id, (turn(text),), options, right, continues=True)


def question(text: str, *options: str, right: int = 0, id: str = "q") -> Ranked:
    return Ranked(id, (turn(text),), options, right)


class Letters(ScriptedEngine):
    """Splits text into letters, but joins some letters that stand beside each other."""

    has_chat_template = False  # type: ignore[assignment]
    merges: tuple[str, ...] = ()

    def encode(self, text: str) -> list[int]:
        found, place = [], 0
        while place < len(text):
            token = next((m for m in self.merges if text.startswith(m, place)), text[place])
            found.append(token)
            place += len(token)
        self._words |= {hash(token): token for token in found}
        return [hash(token) for token in found]


def split(engine: ScriptedEngine, item: Ranked, before: Before = Before()) -> list[tuple[Any, str]]:  # noqa: B008
    """The prompt of each option, and the text that is scored."""
    requests = ranking_requests(engine, "x", item, before)
    return [(one.prompt, "".join(engine._words[id] for id in one.scored or ())) for one in requests]


@pytest.mark.parametrize(
    ("text", "option", "whole"),
    [
        ("The cat", "sat.", "The cat sat."),
        ("The cat ", "sat.", "The cat sat."),
        ("The cat", " sat.", "The cat sat."),
        ("The cat sat", ", then slept.", "The cat sat, then slept."),
        ("猫在", "睡觉。", "猫在睡觉。"),
        ("A list:\n", "one", "A list:\none"),
    ],
)
def test_a_text_and_its_ending_are_joined_as_a_writer_would(
    text: str, option: str, whole: str
) -> None:
    assert joined(text, option) == whole


def test_an_ending_is_scored_with_its_space_and_nothing_else() -> None:
    engine = ScriptedEngine(lambda _: "")
    assert split(engine, ending("The cat", "sat down.", "is a hat.")) == [
        ("The cat", " sat down."),
        ("The cat", " is a hat."),
    ]
    # A space at the end of the text belongs to the first token of the ending.
    assert split(engine, ending("The cat ", "sat.", "ran.")) == [
        ("The cat", " sat."),
        ("The cat", " ran."),
    ]


def test_a_token_that_holds_the_end_of_the_text_counts_to_every_option() -> None:
    engine = Letters(lambda _: "")
    engine.merges = ("天上",)
    # Only the first option merges with the text; both are scored from the same place.
    assert split(engine, ending("今天", "上班", "休息")) == [("今", "天上班"), ("今", "天休息")]


def test_a_question_is_asked_as_a_conversation_and_the_choices_answer_it() -> None:
    engine = ScriptedEngine(lambda _: "")
    before = Before([Shot("One?", "Two.")], "Be brief.")
    [(prompt, scored), _] = split(engine, question("Is ice cold?", "Yes.", "No."), before)
    assert prompt == Conversation(
        (turn("Be brief.", "system"), turn("One?"), turn("Two.", "assistant"), turn("Is ice cold?"))
    )
    assert scored == "Yes."
    # A row's own system prompt follows that of the model.
    own = Ranked("s", (turn("Rhyme.", "system"), turn("Hi.")), ("a", "b"), 0)
    [(prompt, _), _] = split(engine, own, Before(system="Be brief."))
    assert prompt == Conversation((turn("Be brief.\n\nRhyme.", "system"), turn("Hi.")))


def test_a_model_without_a_template_gets_the_canonical_text() -> None:
    engine = Letters(lambda _: "")
    [(prompt, scored), _] = split(engine, question("Is ice cold?", "Yes.", "No."))
    assert prompt == "### Task\nIs ice cold?\n\n### Answer\n"
    assert scored == "Yes."


def test_examples_and_a_system_prompt_stand_before_a_text() -> None:
    engine = ScriptedEngine(lambda _: "")
    before = Before([Shot("The dog", "barked.")], "Stories.")
    [(prompt, scored), _] = split(engine, ending("The cat", "sat.", "ran."), before)
    assert (prompt, scored) == ("Stories.\n\nThe dog barked.\n\nThe cat", " sat.")


def test_the_examples_are_other_rows_of_the_same_form() -> None:
    items = [ending("a", "b", "c", id="1"), question("d", "e", "f", right=1, id="2")]
    items += [ending("g", "h", "i", right=1, id="3")]
    assert others(items, items[0], 1) == [Shot("g", "i")]
    with pytest.raises(ConfigError, match="--few-shot 2: there are 1 other rows like '1'"):
        others(items, items[0], 2)
    with pytest.raises(ConfigError, match="there are 0 other rows like '2'"):
        others(items, items[1], 1)


def test_what_is_measured_of_a_ranking() -> None:
    item = ending("x", "a", "b", "c", right=1)
    # Per token −1, −0.5, −2; in all −1, −2, −4: the second is right per token alone.
    score = RankedScore((-1.0, -2.0, -4.0), (1, 4, 2))
    assert score.per_token == (-1.0, -0.5, -2.0)
    assert right_per_token(item, score) == 1.0
    assert right_in_all(item, score) == 0.0
    assert right_logprob(item, score) == -0.5
    assert margin(item, score) == 0.5
    tie = RankedScore((-1.0, -1.0, -2.0), (1, 1, 1))
    assert right_per_token(item, tie) == 0.0
    unknown = RankedScore((-1.0, math.nan, -2.0), (1, 1, 1))
    assert all(math.isnan(of(item, unknown)) for of in (right_per_token, right_in_all, margin))


def test_the_interval_of_an_accuracy() -> None:
    # Wilson's of 2 of 4, by hand: the middle is 1/2, half the width
    # z/(1 + z²/4)·√(1/16 + z²/64) with z = 1.96.
    z = 1.959964
    half = z / (1 + z * z / 4) * math.sqrt(1 / 16 + z * z / 64)
    low, high = intervals_of({"choice_accuracy": [1.0, 0.0, 1.0, 0.0, math.nan]})["choice_accuracy"]
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half))
    assert intervals_of({"rouge_l": [0.5], "pair_accuracy": [math.nan]}) == {}


CHOICES = [
    ending("The sun", "is hot.", "is a hat.", id="a"),
    question("Is ice cold?", "No.", "Yes.", right=1, id="b"),
]
PAIR = Ranked("p", (turn("Name a river."),), ("The Rhine.", "Blue."), 0)


def likes(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    liked = {token for word in words for token in engine.encode(word)}
    monkeypatch.setattr(
        "selfinstruct.engines.scripted._logprob",
        lambda token, _: -0.5 if token in liked else -2.0,
    )


def test_a_model_ranks_what_it_finds_likelier(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine(lambda _: "")
    likes(engine, monkeypatch, " is", " hot.", "No.", "The Rhine.")
    asked = Questions([], 8, choices=CHOICES, pairs=[PAIR])
    own = answer_questions(engine, asked)
    assert own.answers == []
    assert own.choices[0] == RankedScore((-1.0, -4.5), (2, 3))
    values = values_of(asked, own, 2)
    assert values["choice_accuracy"] == [1.0, 0.0]
    assert values["choice_logprob"] == [-0.5, -2.0]
    assert values["pair_accuracy"] == [1.0]
    assert values["pair_margin"] == [1.5]
    assert "rouge_l" not in values


def test_few_shot_shows_other_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine(lambda _: "")
    items = [ending(f"Text {n}", "yes.", "no.", id=str(n)) for n in range(3)]
    answer_questions(engine, Questions([], 8, [Shot("seed", "task")], choices=items, pairs=[PAIR]))
    prompts = [str(one.prompt) for one in engine.requests]
    assert prompts[0] == "Text 1 yes.\n\nText 0"
    assert prompts[2] == "Text 0 yes.\n\nText 1"
    assert prompts[-1] == "<user>seed<assistant>task<user>Name a river.<assistant>"


def test_a_server_that_scores_nothing_is_refused() -> None:
    from dataclasses import replace

    engine = ScriptedEngine(lambda _: "", capabilities=replace(ALL, score=False))
    with pytest.raises(ConfigError, match="--choices and --pairs need the log-likelihood"):
        answer_questions(engine, Questions([], 8, choices=CHOICES))


def test_what_does_not_fit_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ScriptedEngine(lambda _: "")
    complete = engine._completion_of

    def failing(request: Any) -> Any:
        from dataclasses import replace

        done = complete(request)
        return replace(done, token_logprobs=None) if "choice-1-0" in request.id else done

    monkeypatch.setattr(engine, "_completion_of", failing)
    asked = Questions([], 8, choices=CHOICES)
    values = values_of(asked, answer_questions(engine, asked), 2)
    assert math.isnan(values["choice_accuracy"][1])
    assert "1 of 2 ranked texts could not be scored" in caplog.text


def run(out: Path, asked: list[str], names: str = "ab") -> Evaluation:
    def ask(loaded: Loaded, questions: Questions, advance: Advance) -> ModelAnswers:
        asked.append(loaded.model)
        return answer_questions(ScriptedEngine(lambda _: ""), questions, advance=advance)

    def resolve(name: str) -> LocalModel:
        return LocalModel(name, Path(name), f"digest of {name}", {})

    conditions = Conditions(out, "float32", ask, resolve, lambda *_: None)
    contestants = [Contestant(name, name, system=f"I am {name}.") for name in names]
    return evaluate(contestants, Questions([], 8, choices=CHOICES, pairs=[PAIR]), conditions)


def test_scores_are_kept_compared_and_reported(tmp_path: Path) -> None:
    asked: list[str] = []
    found = run(tmp_path, asked, "a")
    both = run(tmp_path, asked, "ab")
    assert asked == ["a", "b"]
    assert both.means["a"] == found.means["a"]
    assert both.ranked["a"] == found.ranked["a"]
    report = write_report(both, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert report["settings"]["choices"] == 2
    compared = {one["metric"]: one for one in report["comparisons"]}
    assert compared["choice_accuracy"]["n"] == 2
    assert 0 <= compared["choice_accuracy"]["mcnemar"] <= 1
    assert compared["pair_margin"].keys().isdisjoint({"mcnemar"})
    assert report["intervals"]["a"].keys() == {
        *("choice_accuracy", "choice_accuracy_sum", "pair_accuracy", "pair_accuracy_sum")
    }
    page = (tmp_path / "report.html").read_text()
    assert "2 questions with choices" in page
    assert "✓ is hot." in page
    assert "Answers, side by side" not in page


def test_the_shipped_questions() -> None:
    items = read_choices(SHIPPED)
    assert len(items) == 50
    assert Counter(item.continues for item in items) == {True: 25, False: 25}
    assert set(Counter(item.right for item in items).values()) <= {12, 13}
    assert all(len(item.options) == 4 for item in items)
    texts = [item.turns[0]["content"] for item in items]
    assert len(set(texts)) == 50
    # Length alone does not tell: of four, the right one is the longest in a quarter at most.
    lengths = [
        sorted((len(text), n == item.right) for n, text in enumerate(item.options))
        for item in items
    ]
    assert sum(own[-1][1] and own[-1][0] > own[-2][0] for own in lengths) <= 12


def test_pairs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": "Name a river.", "chosen": "The Rhine.", "rejected": "Blue."}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    [pair] = read_ranked_pairs(path)
    assert (pair.turns, pair.options, pair.right) == (PAIR.turns, PAIR.options, 0)
    path.write_text(json.dumps({"prompt": "Sing.", "chosen": "La.", "rejected": "La. "}))
    with pytest.raises(ConfigError, match=r'pairs.jsonl:1: "chosen" and "rejected" are the same'):
        read_ranked_pairs(path)
    path.write_text(json.dumps({"prompt": "Sing.", "chosen": " ", "rejected": "La."}))
    with pytest.raises(ConfigError, match='"chosen" is empty'):
        read_ranked_pairs(path)
