"""Preferences about conversations: asked, labelled, written and read again turn by turn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import Message
from selfinstruct.labellers.base import Scorer, TaskPrompt
from selfinstruct.labellers.judge import JUDGE
from selfinstruct.labellers.likelihood import LIKELIHOOD, PRINCIPLES
from selfinstruct.preferences.best_of import _written
from selfinstruct.preferences.folder import LABELLED
from selfinstruct.store import Run
from selfinstruct.train.data.preference_rows import read_preferences
from selfinstruct.train.data.ranked import read_ranked
from selfinstruct.train.data.rows import read_rows
from tests.preferences.test_prefer import JUDGE_MODEL, SETTINGS, Engines, make, pairs

EARLIER = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Name a colour."),
    Message(role="assistant", content="Red."),
)


def prompt(number: int) -> TaskPrompt:
    return TaskPrompt(f"p{number}", f"p{number}", f"Another, unlike {number}?", "Blue.", EARLIER)


PROMPTS = [prompt(number) for number in range(24)]


@pytest.fixture
def asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selfinstruct.preferences.prefer.prompts_of", lambda run: PROMPTS)


@pytest.mark.usefixtures("asked_about")
def test_pairs_of_conversations(small: Run, tmp_path: Path) -> None:
    out, apart = tmp_path / "out", Engines()
    make(small, out, apart, SETTINGS, Scorer(LIKELIHOOD))
    turns = {one.id: [dict(turn) for turn in one.turns] for one in PROMPTS}
    rows = pairs(out)
    assert len(rows) >= 10
    assert all(row["prompt"] == turns[row["prompt_id"]] for row in rows)
    labelled = pq.read_table(out / LABELLED).to_pylist()
    assert all(row["prompt"] == turns[row["prompt_id"]] for row in labelled)
    [(_, engine)] = apart.asked
    asked = [str(request.prompt) for request in engine.requests]
    talk = "<system>Be brief.<user>Name a colour.<assistant>Red.<user>"
    for one in PROMPTS:
        assert f"{talk}{one.user}<assistant>" in asked
    # The labeller's better instructions stand behind the system prompt, before the conversation.
    instructed = [text for text in asked if PRINCIPLES in text]
    assert instructed
    for text in instructed:
        assert text.startswith(f"<system>Be brief.<user>{PRINCIPLES}")
        assert "<user>Name a colour.<assistant>Red.<user>Another, unlike" in text
    for split in (read_preferences(out), read_ranked(out)):
        assert {len(row.messages) for row in split.train} == {4}
        assert split.train[0].messages[0] == EARLIER[0]


@pytest.mark.usefixtures("asked_about")
def test_a_judge_sees_the_whole_conversation(small: Run, tmp_path: Path) -> None:
    apart = Engines()
    scorer = Scorer(JUDGE, JUDGE_MODEL)
    make(small, tmp_path / "out", apart, SETTINGS, scorer)
    judged = next(engine for model, engine in apart.asked if model == JUDGE_MODEL.name)
    shown = str(judged.requests[0].prompt)
    assert "System: Be brief.\n\nUser: Name a colour.\n\nAssistant: Red.\n\nUser: Ano" in shown


def test_the_best_answer_to_a_conversation_can_be_learnt(tmp_path: Path) -> None:
    file = tmp_path / "best.jsonl"
    task = replace(prompt(1), earlier=())
    lines = [_written(prompt(1), "Blue."), _written(task, "Blue.")]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    talk, single = read_rows(file).rows
    assert talk.messages == (*prompt(1).turns, Message(role="assistant", content="Blue."))
    assert lines[1] == {"prompt": task.user, "completion": "Blue."}
    assert single.is_task


def test_folders_of_before_are_continued_as_they_were_begun() -> None:
    task = replace(prompt(1), earlier=())
    known = {"id": "p1", "group": "p1", "user": task.user, "reference": "Blue."}
    assert fingerprint({"prompts": [task.compared]}) == fingerprint({"prompts": [known]})
    assert list(prompt(1).compared["earlier"]) == list(EARLIER)
