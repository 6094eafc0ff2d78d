"""The labeller `principles`: each two answers are compared by one principle, drawn for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.engines.scripted import ScriptedEngine, _word_id
from selfinstruct.labellers.base import (
    Labelling,
    Processes,
    ScoredAnswer,
    Scorer,
    TaskPrompt,
    VoteStore,
    by_prompt,
)
from selfinstruct.labellers.judge import JUDGE
from selfinstruct.labellers.principles import PRINCIPLES
from selfinstruct.prompts.principles import Principle, Principles
from tests.docs.stand_in import add_stand_in

MODEL = LocalModel("model", Path("model"), "digest", {})
TWO = (
    Principle("kind", "A good answer is KIND.", "c", "r"),
    Principle("short", "A good answer is SHORT.", "c", "r"),
)
PROMPTS = [TaskPrompt(f"p{n}", f"p{n}", f"Say {n}.", "") for n in range(24)]
ANSWERS = by_prompt(
    [prompt.id for prompt in PROMPTS],
    [
        ScoredAnswer(f"{prompt.id}-a{n}", prompt.id, text, 3, True)
        for prompt in PROMPTS
        for n, text in enumerate(("a kind and long one", "short"))
    ],
)


@pytest.fixture
def follows_the_principle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge that likes the answer which names the principle of its prompt, by two nats."""

    def logprob(token: int, prompt: str) -> float:
        word = "kind" if "KIND" in prompt else "short"
        shown_first = prompt.partition("Answer B:")[0].partition("Answer A:")[2]
        good = "A" if word in shown_first else "B"
        return -3.0 + 2 * (("A" if token == _word_id("A") else "B") == good)

    monkeypatch.setattr("selfinstruct.engines.scripted._logprob", logprob)


def labelled(seed: int) -> tuple[dict[str, str], ScriptedEngine]:
    """The answer that wins, by prompt, and the engine that was asked."""
    engine = ScriptedEngine(lambda request: "")
    votes: list[Any] = []

    def with_engine(_loaded: Any, work: Any, advance: Any) -> Any:
        return work(engine, advance=advance)

    scorer = Scorer(PRINCIPLES, MODEL, principles=Principles(TWO, seed))
    labelling = Labelling(
        prompts=PROMPTS,
        answers=ANSWERS,
        processes=Processes(with_engine, lambda *_: None),
        votes=VoteStore(read=lambda: votes, commit=votes.extend),
        advance=lambda *_: None,
        model=scorer.model,
        template=scorer.template,
        principles=scorer.principles,
    )
    done = scorer.labeller.label(labelling)
    best = {key: max(own, key=lambda one: one.score).text for key, own in done.answers.items()}
    return best, engine


@pytest.mark.usefixtures("follows_the_principle")
def test_a_principle_is_drawn_for_each_two_answers() -> None:
    best, engine = labelled(0)
    # Both principles are drawn, and each pair is decided by its own in both orders.
    assert set(best.values()) == {"a kind and long one", "short"}
    drawn = Principles(TWO, 0)
    for prompt in PROMPTS:
        principle = drawn.drawn(f"{prompt.id}-a0-{prompt.id}-a1")
        assert best[prompt.id] == ("short" if principle.name == "short" else "a kind and long one")
        shown = [one.prompt for one in engine.requests if one.about == f"{prompt.id}-a0"]
        assert len(shown) == 4
        assert all(principle.principle in text for text in shown)
    assert labelled(1)[0] != best


def test_other_principles_are_other_labels() -> None:
    first = Scorer(PRINCIPLES, MODEL, principles=Principles(TWO, 0))
    second = Scorer(PRINCIPLES, MODEL, principles=Principles(TWO[:1], 0))
    assert first.labelled_by("float32") != second.labelled_by("float32")
    assert Scorer(JUDGE, MODEL).labelled_by("float32") == "digest float32"
    with pytest.raises(ConfigError, match="--principles: `principles` compares by principles"):
        Scorer(PRINCIPLES, MODEL)


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    add_stand_in(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    Path("model/config.json").write_text('{"max_position_embeddings": 8192}')
    Path("model/model.safetensors").write_bytes(b"")
    tasks = ({"instruction": f"Name colour {n}.", "output": "red"} for n in range(30))
    Path("tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    Path("mine.yaml").write_text(
        "- {name: kind, principle: Be kind., critique: Say what is rude., revision: Be kinder.}\n"
    )
    words = ["prefer", "tasks.jsonl", "--policy", "./model", "--out", "pairs", "--engine"]
    words += ["scripted", "--held-out-pairs", "2", "--labeller", "principles"]
    assert cli(words) == 2
    assert "--judge: names the model that `principles` asks; give it" in capfd.readouterr().err
    words += ["--judge", "./model", "--principles", "mine.yaml"]
    assert cli(words) == 0
    assert json.loads(Path("pairs/report.json").read_text())["labeller"] == "principles"
    assert len(json.loads(Path("pairs/preferences.json").read_text())["labelled_by"].split()) == 3
    capfd.readouterr()
    Path("own.jinja").write_text("{{ task }} {{ first }} {{ second }}")
    bad = [
        ([*words[:-2], "--out", "b", "--judge-prompt", "own.jinja"], "does not show the principle"),
        (
            ["prefer", "tasks.jsonl", "--policy", "./model", "--out", "c", *words[-2:]],
            "--principles: it is not used",
        ),
        (
            [
                *("best-of", "tasks.jsonl", "--policy", "./model", "--out", "d", "--engine"),
                *(
                    "scripted",
                    "--labeller",
                    "judge",
                    "--measure",
                    "principles",
                    "--judge",
                    "./model",
                ),
            ],
            "asks the same judge as `judge`",
        ),
    ]
    for wrong, told in bad:
        assert cli(wrong) == 2
        assert told in capfd.readouterr().err
