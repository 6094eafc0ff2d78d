"""Reading a run back: counts that add up, filters, and verdicts judged again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from selfinstruct.audit.queries import summarise
from selfinstruct.audit.search import Filter, candidates
from selfinstruct.common.errors import StoreError
from selfinstruct.store import Run, open_run, schema
from selfinstruct.store.layout import HEADS
from selfinstruct.verdicts.replay import replay
from tests.recommit import forget_seals, recommit

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=25)[0]


def ids_of(rows: list[dict[str, Any]]) -> set[str]:
    return {row["id"] for row in rows}


def test_summary_adds_up(run: Run) -> None:
    found = summarise(run)
    rows = sum(pq.read_metadata(p).num_rows for p in run.path.glob("rounds/*/instructions.parquet"))
    assert found.tasks == found.target == 25 == found.instructions["accepted"]
    assert found.candidates == sum(found.instructions.values()) == rows
    assert sum(found.instances.values()) == sum(len(run.instances(n)) for n in run.rounds())
    assert next(iter(found.instructions)) == "accepted"
    assert len(found.yields) == found.rounds


def test_summary_of_a_run_without_rounds(run: Run) -> None:
    for number in run.rounds():
        run.round_path(number).rename(run.path / f"gone{number}")
    (run.path / HEADS).unlink()
    found = summarise(run)
    assert (found.tasks, found.candidates, found.rounds) == (0, 0, 0)
    assert list(candidates(run, Filter("instances"))) == []


def test_list_by_reason(run: Run) -> None:
    found = summarise(run)
    for reason, count in found.instructions.items():
        wanted = {"verdict": "accepted"} if reason == "accepted" else {"reason": reason}
        rows = list(candidates(run, Filter(**wanted)))  # type: ignore[arg-type]
        assert len(rows) == count
        recorded = [c.id for n in run.rounds() for c in run.instructions(n)]
        assert [row["id"] for row in rows] == [id for id in recorded if id in ids_of(rows)]
    limited = candidates(run, Filter(), limit=3)
    assert len(list(limited)) == 3


def test_an_unfinished_round_is_not_read(run: Run) -> None:
    before = summarise(run)
    torn = run.path / "rounds" / ".00099.tmp"
    torn.mkdir()
    (torn / "instructions.parquet").write_bytes(b"PAR1 half a file")
    assert summarise(run) == before


def test_replay_finds_no_difference(run: Run) -> None:
    assert replay(run) == []


def test_replay_of_a_run_that_grew_over_a_surplus(tmp_path: Path, generate: Generate) -> None:
    out = tmp_path / "run"
    for target in (2, 5, 30):
        generate(out, resume=out.exists(), stop__target=target)
    run = open_run(out)
    assert summarise(run).instructions["over_target"] > 0
    assert replay(run) == []


def test_replay_names_a_verdict_that_was_tampered_with(run: Run) -> None:
    rows = run.instructions(0)
    changed = [replace(rows[0], text=rows[0].text + " Twice."), *rows[1:]]
    schema.write_instructions(run.round_path(0) / "instructions.parquet", changed)
    recommit(run.round_path(0))
    differences = replay(run)
    assert [(one.id, one.field) for one in differences] == [(rows[0].id, "text")]


def test_replay_names_a_row_that_is_missing(run: Run) -> None:
    rows = run.instances(0)
    schema.write_instances(run.round_path(0) / "instances.parquet", rows[1:])
    recommit(run.round_path(0))
    assert [(one.id, one.field) for one in replay(run)] == [(rows[0].id, "row")]


def test_replay_of_an_instruction_that_passes_only_now(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=15, likelihood__seed_bound=False)
    text = (run.path / "run.yaml").read_text()
    for before in ("- picture", "- draw"):  # then "Draw a picture of it." passes
        assert before in text
        text = text.replace(before, "- zebra", 1)
    (run.path / "run.yaml").write_text(text)
    forget_seals(run.path)
    differences = replay(open_run(run.path))
    lenient = {one.id: one for one in differences if one.field == "reason"}
    reasons = {one.recorded for one in lenient.values()}
    assert "unsuitable_keyword" in reasons  # nobody has asked for its instances
    assert {one.replayed for one in lenient.values()} >= {"pending_instances"}


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(per_round=st.sampled_from([1, 7, 99, 101]), seed=st.integers(0, 9))
@example(per_round=1003, seed=0)  # of several seconds, and so once
def test_replay_finds_no_difference_whatever_the_size_of_a_round(
    tmp_path: Path, generate: Generate, per_round: int, seed: int
) -> None:
    out = tmp_path / f"run-{per_round}-{seed}"
    if not out.exists():
        generate(
            out,
            propose__per_round=per_round,
            propose__sizes="equal",
            seed=seed,
            stop__target=30,
            stop__max_rounds=3,
        )
    run = open_run(out)
    assert replay(run) == []
    listed = candidates(run, Filter())
    assert [row["id"] for row in listed] == [
        c.id for n in run.rounds() for c in run.instructions(n)
    ]


@pytest.mark.parametrize("name", ["it's a run", "run [1]", "what? *", "[x"])
def test_a_run_may_have_any_name(tmp_path: Path, generate: Generate, name: str) -> None:
    run, _ = generate(tmp_path / name, stop__target=5)
    assert summarise(run).tasks == 5


def test_a_damaged_table_is_a_damaged_run(run: Run) -> None:
    file = run.round_path(0) / "instructions.parquet"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(StoreError, match="is not what was committed"):
        summarise(run)
