"""The arithmetic of scripts/bench_generate.py, and the work that it takes from a ledger."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from selfinstruct.common.records import LOOP_STAGES, Stage
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.store import Run
from tests.conftest import make_seed, varied_script, write_seeds

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("bench_generate")


def test_the_other_arms_do_the_work_of_the_ledger(bench: ModuleType, small: Run) -> None:
    recorded = [c.request for n in small.rounds() for c in small.completions(n)]
    requests = bench.requests_of(small)
    assert requests == [r for r in recorded if r.stage in LOOP_STAGES]
    assert len({r.id for r in requests}) == len(requests)
    batches = list(bench.original_batches(requests, 12))
    stages = [{r.stage for r in batch} for batch in batches]
    assert all(len(stage) == 1 for stage in stages)
    order = [LOOP_STAGES.index(*stage) for stage in stages]
    assert order == sorted(order)
    assert {len(batch) for batch in batches} <= {5, 2}
    instances = [r for batch in batches for r in batch if r.stage is Stage.INSTANCES]
    assert instances == [r for r in requests if r.stage is Stage.INSTANCES][:12]


def test_a_loop_adds_its_rounds_up(bench: ModuleType, tmp_path: Path, model_folder: Path) -> None:
    seeds = write_seeds(tmp_path / "seeds.jsonl", [make_seed(number) for number in range(12)])
    values = bench.overlay(
        bench.VALUES, {"model": {"name": str(model_folder)}, "seeds": str(seeds)}
    )
    sums = bench.loop(
        tmp_path / "run", bench._sized(values, 4, 2, 0), lambda *_: ScriptedEngine(varied_script)
    )
    run = bench.open_run(tmp_path / "run")
    assert run.rounds() == [0, 1]
    written = [c for n in run.rounds() for c in run.completions(n)]
    assert sums["tokens"] == sum(c.num_output_tokens for c in written)
    assert sums["tasks"] == sum(run.info(n)["tasks"] for n in run.rounds()) > 0
    assert 0 <= sums["idle"] <= 1


def test_ratios_are_those_of_arms_of_one_turn(bench: ModuleType) -> None:
    def row(arm: str, turn: int, seconds: float, tasks: int = 0, tokens: int = 600) -> object:
        return bench.Measured(arm, 8, turn, seconds, tokens, tasks, 0.01, 0.5)

    rows = [
        *(row("ceiling", 0, 6.0), row("loop", 0, 8.0, tasks=4), row("original", 0, 6.0, 0, 150)),
        *(row("ceiling", 1, 10.0), row("loop", 1, 10.0, tasks=3), row("original", 1, 20.0)),
        *(row("ceiling", 2, 9.0), row("loop", 2, 10.0, tasks=6), row("http", 2, 12.0, 2)),
    ]
    assert bench.ratios(rows, "loop", 8) == pytest.approx([0.75, 1.0, 0.9])
    assert bench.ratios(rows, "original", 8) == pytest.approx([0.25, 0.5])
    assert bench.ratios(rows, "http", 8) == pytest.approx([0.75])
    # 4 in 8 s, 3 in 10 s, 6 in 10 s; the ceiling gets them in 6, 10 and 9 s.
    assert bench.tasks_a_minute(rows, "loop", 8) == pytest.approx(30)
    assert bench.tasks_a_minute(rows, "ceiling", 8) == pytest.approx(40)
    assert bench.tasks_a_minute(rows, "original", 8) == pytest.approx((10 + 9) / 2)
    assert bench.tasks_a_minute(rows, "http", 8) == pytest.approx(10)
    table = bench.table(rows).splitlines()
    assert table[2] == "| 8 | loop | 60 | 90% (75% to 100%) | 30.0 | 1.0% | 50% | 3 |"
    assert table[3].startswith("| 8 | ceiling | 67 |  | 40.0 |")
    assert bench.short_table(rows).splitlines()[2] == "| 8 | 60 | 90% | 75% | 38% |"
