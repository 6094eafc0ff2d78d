"""Passages: read, asked and scored."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate.answers import Questions, answer_questions
from selfinstruct.evaluate.plain_text import (
    PassageScore,
    perplexity,
    read_passages,
    shipped_passages,
)
from selfinstruct.evaluate.tasks import EvalTask

TASK = EvalTask("a", "Name a colour.", "", "red", True, None)


def test_the_shipped_passages() -> None:
    passages = read_passages(shipped_passages())
    assert len(passages) == len(set(passages)) == 100
    assert all(40 <= len(one.split()) <= 75 for one in passages)
    assert all(one[:-1].rpartition(" ")[2].isalpha() and one[-1] in ".?!" for one in passages)


def test_passages_are_read_without_their_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("One two\nthree four five.\n \nToo short.\n\n\nSix seven eight nine ten!\n")
    assert read_passages(path) == ["One two three four five.", "Six seven eight nine ten!"]
    path.write_text("Too short.")
    with pytest.raises(ConfigError, match="no passage of 5 words"):
        read_passages(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_passages(tmp_path / "none.txt")


def test_the_last_word_and_the_likelihood_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selfinstruct.engines.scripted._logprob", lambda token, prompt: -2.0)
    passages = [
        "Ann lost her red scarf. There lay the scarf.",
        "The dog barked all night long. It was Rex!",
    ]

    def script(request: object) -> str:
        prompt = request.prompt  # type: ignore[attr-defined]
        return {"the": ' "Scarf," she', "was": " the Rex"}.get(prompt.split()[-1], "x")

    engine = ScriptedEngine(script)
    found = answer_questions(engine, Questions([TASK], 8, passages=passages)).passages
    assert [one.last_word for one in found] == [1.0, 0.0]
    ends = [r for r in engine.requests if r.id.endswith("-end")]
    assert ends[0].prompt == "Ann lost her red scarf. There lay the"
    assert ends[0].sampling.temperature == 0
    scored = [r for r in engine.requests if r.id.startswith("passage") and r.scored]
    assert scored[1].prompt == "The"
    # The scripted engine's tokens are words: 8 words after the first, -2 nats each.
    assert [one.logprob for one in found] == [-2.0, -2.0]
    assert perplexity(found, passages) == pytest.approx(math.exp(2))


def test_perplexity_weighs_passages_by_their_words() -> None:
    scores = [PassageScore(-1.0, 1.0), PassageScore(-4.0, 0.0), PassageScore(math.nan, 0.0)]
    passages = ["a b c d e f g", "a b c", "a b c d"]
    # 6 words at 1 nat, 2 words at 4.
    assert perplexity(scores, passages) == pytest.approx(math.exp(14 / 8))
    assert math.isnan(perplexity(scores[2:], passages[2:]))
