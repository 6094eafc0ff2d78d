"""Merged runs: every candidate is there, judged under one index, and replays."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.cli.app import run as cli
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED, Request, Stage
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.decisions.decide import drop
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.answer import answer
from selfinstruct.store import Run, open_run
from selfinstruct.store.commits import ANSWERS
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, what_if
from tests.conftest import make_seed, write_seeds

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def pair(tmp_path: Path, generate: Generate) -> list[Run]:
    """Two runs of other random seeds; what they repeat of each other is the model's habit."""
    return [generate(tmp_path / f"run{seed}", seed=seed, stop__target=15)[0] for seed in (0, 1)]


def test_every_candidate_is_there_and_the_rounds_follow_one_another(
    tmp_path: Path, pair: list[Run]
) -> None:
    merged = merge(pair, tmp_path / "both")
    assert len(merged.rounds()) == sum(len(run.rounds()) for run in pair)
    counts = [summarise(run).candidates for run in pair]
    assert summarise(merged).candidates == sum(counts)
    ids = [row.id for n in merged.rounds() for row in merged.instructions(n)]
    assert len(ids) == len(set(ids))
    assert replay(merged) == []
    merged.verify()


def test_parents_are_those_of_the_merged_run(tmp_path: Path, pair: list[Run]) -> None:
    merged = merge(pair, tmp_path / "both")
    offset = len(pair[0].rounds())
    accepted = {
        row.id
        for number in merged.rounds()
        for row in merged.instructions(number)
        if row.verdict == ACCEPTED or row.reason == "not_novel"
    }
    for number in merged.rounds()[offset + 2 :]:
        for row in merged.instructions(number):
            own = [parent for parent in row.parents if not parent.startswith("seed:")]
            assert own
            assert all(int(parent[1:6]) >= offset for parent in own)
            assert set(own) <= accepted


def test_the_same_run_twice_adds_nothing(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "run", stop__target=15)
    merged = merge([run, run], tmp_path / "twice")
    texts = [row.instruction for row in export_rows(merged)]
    once = [row.instruction for row in export_rows(run)]
    assert texts[: len(once)] == once
    # Only what was over the target the first time can come in besides.
    surplus = {
        row.text for n in run.rounds() for row in run.instructions(n) if row.reason == "over_target"
    }
    assert set(texts) - set(once) <= surplus
    assert replay(merged) == []


def test_each_run_brings_its_own_tasks(tmp_path: Path, generate: Generate) -> None:
    # Small targets, so that each has far more that is good than it wanted.
    runs = [
        generate(
            tmp_path / f"run{seed}",
            seed=seed,
            stop__target=5,
            propose__per_round=12,
            propose__sizes="equal",
        )[0]
        for seed in (0, 1, 2)
    ]
    assert all(summarise(run).instructions["over_target"] > 5 for run in runs)
    merged = merge(runs, tmp_path / "all")
    assert summarise(merged).tasks == 15
    offsets = [0, len(runs[0].rounds()), len(runs[0].rounds()) + len(runs[1].rounds())]
    for run, offset in zip(runs, offsets, strict=True):
        numbers = range(offset, offset + len(run.rounds()))
        rows = [row for number in numbers for row in merged.instructions(number)]
        assert sum(row.verdict == ACCEPTED for row in rows) == 5
    assert replay(merged) == []
    assert what_if(merged, Thresholds(rouge=0.7)).changes == []


def test_a_merge_that_is_cut_off_leaves_nothing_that_looks_like_a_run(
    tmp_path: Path, pair: list[Run]
) -> None:
    def interrupt(_: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(pair, tmp_path / "both", interrupt)
    assert not (tmp_path / "both").exists()
    assert not (tmp_path / ".both.writing").exists()
    # Killed, it leaves its beginnings under another name; the next one clears them away.
    left = merge(pair, tmp_path / "first").path
    left.rename(tmp_path / ".both.writing")
    merged = merge(pair, tmp_path / "both")
    assert replay(merged) == []
    assert not (tmp_path / ".both.writing").exists()


def test_what_nobody_asked_for_is_pending(tmp_path: Path, generate: Generate) -> None:
    def answering(first: str, second: str) -> Callable[[Request], str]:
        def script(request: Request) -> str:
            if request.stage is Stage.PROPOSE:
                return f" {first}\n{len(request.parents) + 2}. {second}"
            return " text" if request.stage is Stage.CLASSIFY else "Output: It is a robin."

        return script

    blocker, blocked = "Name the red bird on the roof.", "Name the red bird on that roof."
    once = {"stop__max_rounds": 1, "propose__per_round": 1, "stop__target": 5}
    first, _ = generate(tmp_path / "a", answering("Sing about seven islands.", blocker), **once)
    second, _ = generate(
        tmp_path / "b", answering("Name the red bird on the roof!", blocked), **once
    )
    merged = merge([first, second], tmp_path / "both")
    rows = {row.text: row for n in merged.rounds() for row in merged.instructions(n)}
    assert rows[blocker].verdict == ACCEPTED
    assert rows["Name the red bird on the roof!"].reason == "not_novel"
    assert rows[blocked].reason == "not_novel"
    # Here what blocked it in its own run is a repeat, and it is not one itself.
    third, _ = generate(
        tmp_path / "c",
        answering("Name the old red bird on the roof.", "Name the old red fish on the boat."),
        **once,
        novelty__threshold=0.6,
    )
    other, _ = generate(
        tmp_path / "d", answering("Name one old red bird on the roof.", "Count sheep."), **once
    )
    merged = merge([other, third], tmp_path / "more")
    rows = {row.text: row for n in merged.rounds() for row in merged.instructions(n)}
    assert rows["Name the old red bird on the roof."].reason == "not_novel"
    pending = rows["Name the old red fish on the boat."]
    assert pending.reason == "pending_instances"
    assert replay(merged) == []
    assert what_if(merged, Thresholds(rouge=0.7)).changes == []


def test_answers_come_along(tmp_path: Path, pair: list[Run]) -> None:
    folder = tmp_path / "teacher"
    folder.mkdir()
    (folder / "config.json").write_text('{"max_position_embeddings": 4096}')
    (folder / "model.safetensors").write_bytes(b"teacher")
    for run in pair:
        answer(
            run,
            {"model": {"name": str(folder)}},
            make_engine=lambda *_: ScriptedEngine(lambda request: f" It is {request.seed}."),
            model_progress=lambda what, share: None,
            advance=lambda done, owed: None,
        )
    merged = merge(pair, tmp_path / "both")
    assert len(ANSWERS.numbers(merged)) == 2
    before = {r.output for run in pair for r in export_rows(run, Answers.TEACHER)}
    after = {r.output for r in export_rows(merged, Answers.TEACHER)}
    assert after <= before
    assert len(after) == summarise(merged).instances["accepted"]
    assert replay(merged) == []


def test_runs_from_plain_seeds(tmp_path: Path, generate: Generate) -> None:
    runs = []
    for name in ("a", "b"):
        seeds = tmp_path / f"{name}.txt"
        seeds.write_text("\n".join(f"Explain part {name}{n} of it." for n in range(6)))
        runs.append(generate(tmp_path / name, seeds=str(seeds), stop__target=4)[0])
    merged = merge(runs, tmp_path / "both")
    assert replay(merged) == []
    assert {path.name for path in (merged.path / "inputs").iterdir()} == {
        *("seeds.txt", "avoid.jsonl", "prompts")
    }


def test_seeds_of_the_others_are_avoided(tmp_path: Path, generate: Generate) -> None:
    seeds = write_seeds(tmp_path / "other.jsonl", [make_seed(number) for number in range(8, 20)])
    first, _ = generate(tmp_path / "first")
    second, _ = generate(tmp_path / "second", seeds=str(seeds), seed=3)
    merged = merge([first, second], tmp_path / "both")
    lines = (merged.path / "inputs" / "avoid.jsonl").read_text().splitlines()
    assert len(lines) == 8  # 12 to 19; the others are seeds of the first run
    parents = {
        parent
        for number in merged.rounds()
        for row in merged.instructions(number)
        for parent in row.parents
        if not parent.startswith("r")
    }
    pool = {f"seed:seed_task_{n}" for n in range(12)} | {f"avoid:{n}" for n in range(1, 9)}
    assert parents <= pool
    assert any(parent.startswith("avoid:") for parent in parents)
    assert replay(merged) == []


def test_a_merged_run_can_grow(tmp_path: Path, pair: list[Run], generate: Generate) -> None:
    merged = merge(pair, tmp_path / "both")
    tasks = summarise(merged).tasks
    grown, reason = generate(merged.path, resume=True, stop__target=tasks + 5)
    assert reason == "target"
    assert summarise(grown).tasks == tasks + 5
    assert replay(grown) == []


def test_rules_that_differ_are_named(
    tmp_path: Path, generate: Generate, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = generate(tmp_path / "first")
    second, _ = generate(tmp_path / "second", novelty__threshold=0.6, seed=4)
    with caplog.at_level(logging.WARNING):
        merge([first, second], tmp_path / "both")
    assert "novelty.threshold is 0.6 there and 0.7" in caplog.text
    assert " seed is" not in caplog.text


def test_other_templates_are_refused(tmp_path: Path, generate: Generate) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "propose.base.jinja").write_text("{% for t in tasks %}\n1. {{ t }}\n{% endfor %}2.")
    first, _ = generate(tmp_path / "first")
    second, _ = generate(tmp_path / "second", prompts=str(prompts))
    with pytest.raises(ConfigError, match="other templates"):
        merge([first, second], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_the_command(tmp_path: Path, pair: list[Run], capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "both"
    assert cli(["merge", *(str(run.path) for run in pair), "--out", str(out)]) == 0
    tasks = summarise(open_run(out)).tasks
    told = capfd.readouterr()
    assert f"{tasks} tasks of 30 in 2 runs" in told.out
    assert "decisions" not in told.err
    drop(pair[0], next(iter(export_rows(pair[0]))).instruction_id, by="ann")
    again = tmp_path / "again"
    assert cli(["merge", *(str(run.path) for run in pair), "--out", str(again)]) == 0
    told = capfd.readouterr()
    assert f"{tasks} tasks of 29 in 2 runs" in told.out
    assert "decisions of people (1) are not taken over" in told.err
    assert cli(["merge", *(str(run.path) for run in pair), "--out", str(out)]) == 2
    assert cli(["merge", str(out), "--out", str(tmp_path / "other")]) == 2
