"""A model that thinks: its thoughts are kept apart in the run, and exported where asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Request, Stage
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import export_rows
from selfinstruct.decisions.decide import Words, edit
from selfinstruct.store import Run
from selfinstruct.verdicts.replay import replay
from tests.conftest import varied_script

Generate = Callable[..., tuple[Run, str]]

THOUGHT = "The user wants a good answer."


def thinks(request: Request) -> str:
    text = varied_script(request)
    answer = text[0] if isinstance(text, tuple) else text
    return f"<think>\n{THOUGHT}\n</think>{answer}"


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", thinks, stop__target=8)[0]


def test_thinking_is_in_no_text_and_the_run_replays(run: Run) -> None:
    assert replay(run) == []
    rows = list(export_rows(run))
    assert len(rows) >= 8
    assert not any(word in row.output for row in rows for word in ("think", THOUGHT))
    completions = [c for number in run.rounds() for c in run.completions(number)]
    written = [c for c in completions if c.request.stage is not Stage.SCORE]
    assert {c.thinking for c in written} == {THOUGHT}
    for completion in written:
        assert all(end <= len(completion.text) for end in completion.token_ends)


@pytest.mark.parametrize("format", list(Format))
def test_exports_keep_it_where_asked_for(run: Run, tmp_path: Path, format: Format) -> None:
    plain, out = tmp_path / "plain", tmp_path / "reasoned"
    export(run, format, plain)
    assert export(run, format, out, reasoning=True) == len(list(export_rows(run)))
    if format is Format.PARQUET:
        assert set(pq.read_table(out)["reasoning"].to_pylist()) == {THOUGHT}
        return
    for before, after in zip(lines(plain), lines(out), strict=True):
        if format is Format.ALPACA:
            assert after == {**before, "reasoning": THOUGHT}
            continue
        output = answer(before)
        assert answer(after) == f"<think>\n{THOUGHT}\n</think>\n\n{output}"
        assert THOUGHT not in json.dumps(before)


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answer(row: dict[str, object]) -> str:
    turns = row.get("messages") or row.get("conversations") or row.get("completion")
    if isinstance(turns, list):
        return str(turns[-1].get("content") or turns[-1].get("value"))
    return str(row["completion"])


def test_a_text_that_a_person_edited_has_none(run: Run, tmp_path: Path) -> None:
    first = next(iter(export_rows(run)))
    edit(run, first.id, Words(output="A better answer."), by="ann")
    export(run, Format.ALPACA, tmp_path / "out", reasoning=True)
    found = {str(row["output"]): row["reasoning"] for row in lines(tmp_path / "out")}
    assert found.pop("A better answer.") is None
    assert set(found.values()) == {THOUGHT}


def test_a_run_without_thinking_has_none_to_export(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "plain")
    with pytest.raises(ConfigError, match="holds no reasoning"):
        export(run, Format.ALPACA, tmp_path / "out", reasoning=True)
