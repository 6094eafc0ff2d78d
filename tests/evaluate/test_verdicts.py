"""Verdicts that are kept: what a crash costs, and when nobody is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfinstruct.common.errors import EngineError
from selfinstruct.common.records import LocalModel
from selfinstruct.engines.isolated import Advance
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.evaluate.verdicts import Judge, judge_duels, verdicts_of
from selfinstruct.labellers.duels import TEMPLATE, Duel, Verdict, judged

DUELS = [Duel(f"a-b-{n}", f"Task {n}.", f"one {n}", f"two {n}") for n in range(150)]


def judge_with(engine: ScriptedEngine, dtype: str = "float32") -> Judge:
    def ask(duels: dict[str, Duel], path: Path, advance: Advance) -> None:
        judge_duels(engine, duels=duels, template=TEMPLATE, path=path, advance=advance)

    return Judge(LocalModel("judge", Path("judge"), "digest", {}), TEMPLATE, dtype, ask)


def quiet(_done: int, _wanted: int) -> None:
    """Listen to nothing."""


def test_a_crash_costs_less_than_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("selfinstruct.evaluate.verdicts._BATCH", 64)
    path = tmp_path / "verdicts.jsonl"
    told: list[tuple[int, int]] = []

    def dies(done: int, wanted: int) -> None:
        told.append((done, wanted))
        if done > 128:
            raise EngineError("the engine died")

    first = ScriptedEngine(lambda request: "")
    with pytest.raises(EngineError):
        verdicts_of(judge_with(first), DUELS, path, dies)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {wanted for _, wanted in told} == {150}
    path.write_bytes(path.read_bytes()[:-9])  # the last line is torn
    again = ScriptedEngine(lambda request: "")
    found = verdicts_of(judge_with(again), DUELS, path, quiet)
    assert len(again.requests) == 4 * (150 - 127)
    assert "is not JSON" in caplog.text
    assert [found] == list(judged(ScriptedEngine(lambda request: ""), [DUELS]))
    # Other weights, another number of bits: another judge.
    other = ScriptedEngine(lambda request: "")
    verdicts_of(judge_with(other, "bfloat16"), DUELS[:1], path, quiet)
    assert len(other.requests) == 4


def test_equal_answers_start_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedEngine, "start", lambda *_: pytest.fail("it was started"))
    judge = judge_with(ScriptedEngine(lambda request: ""))
    same = [Duel("1", "Do it.", "yes", "yes")]
    assert verdicts_of(judge, same, tmp_path / "v.jsonl", quiet) == [Verdict(0.5, 0.0)]


def test_what_could_not_be_judged_stays_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Duel] = []

    def too_long(
        _engine: ScriptedEngine, batches: list[list[Duel]], *_: object
    ) -> Iterator[list[Verdict]]:
        for duels in batches:
            asked.extend(duels)
            yield [Verdict(math.nan, math.nan) for _ in duels]

    monkeypatch.setattr("selfinstruct.evaluate.verdicts.judged", too_long)
    judge = judge_with(ScriptedEngine(lambda request: ""))
    for _ in range(2):
        [found] = verdicts_of(judge, DUELS[:1], tmp_path / "v.jsonl", quiet)
        assert math.isnan(found.preference)
        assert math.isnan(found.margin)
    assert asked == DUELS[:1]
