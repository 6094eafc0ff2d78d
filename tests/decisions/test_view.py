"""A run as it stands: every count of it against the same thing counted one by one."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from selfinstruct.audit.queries import summarise
from selfinstruct.audit.search import Filter, candidates, count_by_reason
from selfinstruct.audit.tables import TABLES
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.decisions.counts import count
from selfinstruct.decisions.decide import drop, restore
from selfinstruct.decisions.lookup import find_all, outcome_of
from selfinstruct.decisions.overrides import read_overrides
from selfinstruct.decisions.view import read_view
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.answer import Answered, answer
from selfinstruct.generate.complete import pending
from selfinstruct.store import Run
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, save_what_if
from tests.decisions.decided import decide_everything, finish, first, says_hello

Generate = Callable[..., tuple[Run, str]]


def ids(run: Run, table: str) -> list[str]:
    return [str(row["id"]) for row in candidates(run, Filter(table))]


def tasks_of(run: Run) -> set[str]:
    return {row.instruction_id for row in export_rows(run)}


def one_by_one(run: Run, table: str) -> Counter[str]:
    """The outcome of each candidate, decisions applied, as the page of each shows it."""
    overrides = read_overrides(run)
    found = find_all(run, ids(run, table))
    return Counter(outcome_of(candidate, overrides) for candidate in found.values())


def check_counts(run: Run) -> None:
    view = read_view(run)
    counts = count(view)
    for table in TABLES:
        judged, standing = getattr(counts.judged, table), getattr(counts.standing, table)
        assert judged == count_by_reason(run, Filter(table))
        typed = sum(row.id.endswith("-typed") for row in export_rows(run))
        expected = one_by_one(run, table)
        expected["accepted"] += typed if table == "instances" else 0
        assert standing == expected
    assert counts.standing.instructions == Counter(one.outcome for one in view.standings())
    rows = list(export_rows(run))
    assert len({row.instruction_id for row in rows}) == counts.tasks == summarise(run).tasks
    assert len(rows) == counts.standing.instances["accepted"]
    assert counts.candidates == summarise(run).candidates == len(ids(run, "instructions"))
    assert counts.recorded_tasks == sum(run.info(number)["tasks"] for number in run.rounds())


def test_decisions_of_every_kind_are_counted(small: Run) -> None:
    check_counts(small)
    before = count(read_view(small))
    expected = decide_everything(small)
    check_counts(small)
    after = count(read_view(small))
    assert (after.recorded_tasks, after.judged.instructions) == (25, before.judged.instructions)
    assert (before.tasks, after.tasks) == (25, 27)
    assert after.standing.instructions["dropped"] == 2
    overrides, found = read_overrides(small), find_all(small, expected)
    assert {id: outcome_of(found[id], overrides) for id in expected} == expected


def test_what_waits_and_what_was_completed_is_counted(tmp_path: Path, generate: Generate) -> None:
    strict, _ = generate(
        tmp_path / "strict", stop__target=25, novelty__threshold=0.3, stop__max_rounds=6
    )
    run = save_what_if(strict, Thresholds(rouge=0.6), tmp_path / "run")
    waits = [row.id for row in pending(run)]
    check_counts(run)
    assert count(read_view(run)).standing.instructions["pending_instances"] == len(waits) > 2
    wanted = first(run, "not_novel").id
    restore(run, wanted, by="ann")
    assert {row.id for row in pending(run)} == {*waits, wanted}
    assert count(read_view(run)).awaited == summarise(run).waiting == 1
    finish(run, says_hello)
    check_counts(run)
    assert summarise(run).tasks == summarise(run).instructions["accepted"] + 1
    drop(run, next(id for id in waits if id in tasks_of(run)), by="ann")
    check_counts(run)
    assert summarise(run).tasks == summarise(run).instructions["accepted"]
    assert replay(run) == []


def test_only_what_is_touched_is_read_to_count(small: Run) -> None:
    task = first(small, None)
    drop(small, task.id, by="ann")
    before = count(read_view(small))
    for number in small.rounds():
        if number != task.round:
            for path in small.round_path(number).glob("*.parquet"):
                path.write_bytes(b"not read")
    assert count(read_view(small)) == before
    assert before.tasks == 24


@pytest.fixture
def teacher(small: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "teacher"
    shutil.copytree(Path(small.meta["config"]["model"]["name"]), folder)
    (folder / "model.safetensors").write_bytes(b"teacher")
    return folder


def test_a_teacher_answers_what_was_judged_and_exports_apply_the_decisions(
    small: Run, teacher: Path
) -> None:
    def answered() -> Answered:
        return answer(
            small,
            {"model": {"name": str(teacher)}},
            make_engine=lambda *_: ScriptedEngine(lambda _: "A calm and clear answer."),
            model_progress=lambda *_: None,
            advance=lambda *_: None,
        )

    accepted = [row.id for row in export_rows(small)]
    decide_everything(small)
    standing = {row.id for row in export_rows(small) if row.override != "edit"}
    assert answered() == Answered(len(accepted), len(accepted), len(accepted))
    by_teacher = [row.id.rsplit("-a", 1)[0] for row in export_rows(small, Answers.TEACHER)]
    assert by_teacher == [id for id in accepted if id in standing]
    assert 0 < len(by_teacher) < len(accepted)
    assert answered().owed == 0
    assert replay(small) == []


def test_standing_changes_no_row_that_was_recorded(small: Run) -> None:
    rows = [row for number in small.rounds() for row in small.instructions(number)]
    decide_everything(small)
    judged = [one for n in small.rounds() for one in read_view(small).judged.round(n)]
    assert [replace(one.recorded, rouge_l=0.0, mean_logprob=0.0) for one in judged] == [
        replace(row, rouge_l=0.0, mean_logprob=0.0) for row in rows
    ]
