"""A script that plays both sides of a self-chat, and a way to write some on a test's run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.chats import ChatTurn, SelfChat
from selfinstruct.common.progress import Conversed
from selfinstruct.common.records import Request, Stage
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.converse import converse
from selfinstruct.store import Run
from selfinstruct.store.chats import read_chat_commits
from tests.conftest import SUBJECTS, draw

QUESTIONS = ("How long does the", "Who looks after the", "What do people pay for the")
REPLIES = ("Nobody knows it about the", "Most of the year it is the", "A guide told me of the")


def chatty(request: Request) -> str | tuple[str, str]:
    """Ask and answer in varied words; end, repeat, refuse and break off now and then."""
    kind = draw(request, "kind", 12)
    words = " ".join(f"w{draw(request, f'word{place}', 900)}" for place in range(6))
    subject = SUBJECTS[draw(request, "subject", len(SUBJECTS))]
    if request.stage is Stage.USER:
        if kind == 0:
            return " Thanks, that is all."
        if kind == 1:
            return "  "
        if kind == 2:
            return f" What about the {subject} and", "length"
        return f" {QUESTIONS[draw(request, 'question', 3)]} {subject} {words}?"
    assert request.stage is Stage.REPLY
    if kind == 0:
        return "I'm sorry, but I cannot help with that."
    if kind == 1:
        return ""
    return f" {REPLIES[draw(request, 'reply', 3)]} {subject}, says {words}."


def saying(*texts: str | tuple[str, str]) -> Callable[[Request], str | tuple[str, str]]:
    """A script that says these turns after the opening, whichever the task."""
    return lambda request: texts[int(ids.turn_number(request.about) or 0) - 2]


def chat(run: Run, script: Any = chatty, **options: Any) -> Conversed:
    """Write self-chats on a run with a scripted engine."""
    values = {"converse": options.pop("converse", {}), **options.pop("values", {})}
    engine = options.pop("engine", {})
    make = options.pop("make", ScriptedEngine)
    return converse(
        run,
        values,
        make_engine=lambda *_: make(script, **engine),
        model_progress=lambda what, share: None,
        advance=options.pop("advance", lambda done, owed: None),
        **options,
    )


def chats_of(run: Run) -> list[SelfChat]:
    return [chat for commit in read_chat_commits(run) for chat in commit.chats]


def turns_of(run: Run, id: str | None = None) -> list[ChatTurn]:
    """The turns of all self-chats, or of one."""
    turns = (turn for commit in read_chat_commits(run) for turn in commit.turns)
    return [turn for turn in turns if id in (None, turn.chat_id)]


def outcomes(turns: Sequence[ChatTurn]) -> list[str]:
    return [str(turn.reason or turn.verdict) for turn in turns]


def content(run: Run) -> list[str]:
    """All that the self-chats of a run hold, such that NaN equals itself."""
    return [repr(astuple(row)) for row in (*chats_of(run), *turns_of(run))]


def other_model(folder: Path) -> Path:
    """Make a folder that counts as another model."""
    folder.mkdir()
    (folder / "config.json").write_text('{"max_position_embeddings": 4096}')
    (folder / "model.safetensors").write_bytes(b"other")
    return folder
