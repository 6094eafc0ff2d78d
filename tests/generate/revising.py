"""A script that answers, criticises and rewrites, and a way to revise a test's run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any
from unittest.mock import patch

from selfinstruct.common.records import Request, Stage
from selfinstruct.common.revisions import Revised, Revision
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.revise import BATCH, revise
from selfinstruct.prompts.principles import Principle, read_principles
from selfinstruct.store import Run
from selfinstruct.store.revisions import read_revision_commits
from tests.conftest import SUBJECTS, draw

TWO = (
    Principle("kind", "An answer is kind.", "Say where it is rude.", "Rewrite it kindly."),
    Principle("short", "An answer is short.", "Say what is too much.", "Rewrite it shorter."),
)


def revising(request: Request) -> str | tuple[str, str]:
    """Criticise and rewrite in varied words; now and then nothing, the same, a bad one."""
    kind = draw(request, "kind", 10)
    words = " ".join(f"w{draw(request, f'word{place}', 900)}" for place in range(6))
    subject = SUBJECTS[draw(request, "subject", len(SUBJECTS))]
    if request.stage is Stage.CRITIQUE:
        return "  " if kind == 0 else f" It says too little of the {subject}, {words}."
    if kind == 1:
        return ""
    if kind == 2:
        return f" The {subject} and", "length"
    if kind == 3:
        return "I'm sorry, but I cannot help with that."
    return f" A guide told me of the {subject}, says {words}."


def saying(*texts: str | tuple[str, str]) -> Callable[[Request], str | tuple[str, str]]:
    """A script that says these texts in turn, to each series."""
    said: dict[str, int] = {}

    def script(request: Request) -> str | tuple[str, str]:
        series = request.about.rpartition("-")[0]
        said[series] = said.get(series, -1) + 1
        return texts[said[series]]

    return script


def revise_run(run: Run, script: Any = revising, **options: Any) -> Revised:
    """Revise a run with a scripted engine."""
    # Whether a test's task is classification is a matter of chance.
    settings = {"labels": True, **options.pop("revise", {})}
    values = {"revise": settings, **options.pop("values", {})}
    engine = options.pop("engine", {})
    make = options.pop("make", ScriptedEngine)
    with patch("selfinstruct.generate.revise.BATCH", options.pop("batch_size", BATCH)):
        return revise(
            run,
            values,
            options.pop("principles", read_principles()),
            make_engine=lambda *_: make(script, **engine),
            model_progress=lambda what, share: None,
            advance=options.pop("advance", lambda done, owed: None),
            **options,
        )


def rows_of(run: Run) -> list[Revision]:
    return [row for commit in read_revision_commits(run) for row in commit.rows]


def outcomes(rows: Sequence[Revision]) -> list[str]:
    return [str(row.reason or row.verdict) for row in rows]


def content(run: Run) -> list[str]:
    """All that the revisions of a run hold, such that NaN equals itself."""
    return [repr(astuple(row)) for row in rows_of(run)]
