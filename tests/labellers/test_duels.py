"""The judge: both orders, ties, margins, and templates of a user."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.engines.machine import Machine
from selfinstruct.engines.scripted import ScriptedEngine, _word_id
from selfinstruct.labellers.duels import Duel, judge_dtype, judged, read_template

BETTER = "the good one"


@pytest.fixture
def likes_the_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge with a leaning to A of one nat, and to the good answer of two."""

    def logprob(token: int, prompt: str) -> float:
        shown_first, _, _ = prompt.partition("Answer B:")
        good = "A" if BETTER in shown_first else "B" if BETTER in prompt else None
        said = "A" if token == _word_id("A") else "B"
        return -5.0 + (said == "A") + 2 * (said == good)

    monkeypatch.setattr("selfinstruct.engines.scripted._logprob", logprob)


@pytest.mark.usefixtures("likes_the_good_one")
def test_a_leaning_to_one_side_cancels_out() -> None:
    engine = ScriptedEngine(lambda request: "")
    duels = [
        Duel("1", "Do it.", BETTER, "bad"),
        Duel("2", "Do it.", "bad", BETTER),
        Duel("3", "Do it.", "bad", "worse"),
        Duel("4", "Do it.", "same", "same"),
    ]
    [found] = judged(engine, [duels])
    # Odds of the good one: 2 nats in each order, the leaning of 1 taken out.
    assert [one.preference for one in found] == [1.0, 0.0, 0.5, 0.5]
    assert [one.margin for one in found] == pytest.approx([2.0, -2.0, 0.0, 0.0])
    assert [one.balance for one in found] == [1.0, 0.0, 0.5, 0.5]
    # Two verdicts in two orders, and nobody is asked about equal answers.
    assert len(engine.requests) == 3 * 4
    assert all(r.scored is not None for r in engine.requests)
    first, _, swapped, _ = engine.requests[:4]
    assert first.prompt.index(BETTER) < first.prompt.index("bad")
    assert swapped.prompt.index(BETTER) > swapped.prompt.index("bad")
    assert "Do it." in first.prompt


def test_a_judge_on_a_cpu_keeps_small_odds(monkeypatch: pytest.MonkeyPatch) -> None:
    for device, asked, dtype in (
        ("cpu", "auto", "float32"),
        ("cpu", "bfloat16", "bfloat16"),
        ("gpu", "auto", "auto"),
    ):
        machine = Machine(device, (0,), fast_bfloat16=True, memory_gb=1.0)
        monkeypatch.setattr("selfinstruct.labellers.duels.detect_machine", lambda one=machine: one)
        assert judge_dtype(asked) == dtype


def test_templates_of_a_user(tmp_path: Path) -> None:
    path = tmp_path / "judge.jinja"
    path.write_text("{{ task }} 1: {{ first }} 2: {{ second }} A or B?")
    engine = ScriptedEngine(lambda request: "")
    list(judged(engine, [[Duel("1", "Do {{ it }}.", "x", "y")]], read_template(path)))
    assert engine.requests[0].prompt == "<user>Do {{ it }}. 1: x 2: y A or B?<assistant>"
    path.write_text("{{ task }} 1: {{ first }}")
    with pytest.raises(ConfigError, match="does not show the second"):
        read_template(path)
    path.write_text("{{ task }} {{ first ")
    with pytest.raises(ConfigError, match="cannot be rendered"):
        read_template(path)
    with pytest.raises(ConfigError, match="no such file; check --judge-prompt"):
        read_template(tmp_path / "none.jinja")
