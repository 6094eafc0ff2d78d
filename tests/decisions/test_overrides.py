"""A person's decisions: the last one wins, undo takes it back, and exports obey."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.audit.queries import summarise
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.dataset.card import dataset_card
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.decisions.decide import Words, drop, edit, restore, undo
from selfinstruct.decisions.lookup import find
from selfinstruct.decisions.overrides import Action, Override, fold, overrides_path, read_overrides
from selfinstruct.decisions.standing import stand
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.answer import answer
from selfinstruct.generate.complete import pending
from selfinstruct.store import Run
from tests.decisions.decided import exported, first, shown

Generate = Callable[..., tuple[Run, str]]

decisions = st.builds(
    Override,
    id=st.sampled_from(["a", "b"]),
    action=st.sampled_from([Action.RESTORE, Action.DROP, Action.EDIT]),
    by=st.just("ann"),
    at=st.just("2025-01-31T12:00:00Z"),
    text=st.none() | st.text(),
)
entries = st.lists(
    decisions
    | st.builds(Override, st.sampled_from("ab"), st.just(Action.UNDO), st.just("b"), st.just(""))
)


@given(before=entries, last=decisions)
def test_the_last_decision_wins(before: list[Override], last: Override) -> None:
    assert fold([*before, last])[last.id] == last


@given(before=entries, last=decisions)
def test_undo_takes_back_just_that(before: list[Override], last: Override) -> None:
    taken = Override(last.id, Action.UNDO, "ann", "")
    assert fold([*before, last, taken]) == fold(before)


@given(before=entries)
def test_undo_of_nothing_is_nothing(before: list[Override]) -> None:
    taken = Override("c", Action.UNDO, "ann", "")
    assert fold([*before, taken]) == fold(before)


def test_a_run_without_decisions_exports_what_was_accepted(small: Run) -> None:
    recorded = {row.id for n in small.rounds() for row in small.instances(n) if not row.reason}
    assert {row.id for row in export_rows(small)} == recorded
    assert {row.override for row in export_rows(small)} == {None}


def test_a_person_types_an_output(small: Run) -> None:
    task = first(small, "not_novel")
    restore(small, task.id, by="ann")
    edit(small, task.id, Words(output="Mine.", input="Given."), by="bob")
    [row] = exported(small, task.id)
    assert (row.id, row.input, row.output) == (f"{task.id}-typed", "Given.", "Mine.")
    assert pending(small) == []
    edit(small, task.id, Words(text="Another text."), by="bob")  # adds to the edit before
    [row] = exported(small, task.id)
    assert (row.instruction, row.output) == ("Another text.", "Mine.")
    accepted = first(small, None)
    edit(small, accepted.id, Words(output="Mine as well."), by="bob")
    assert [row.output for row in exported(small, accepted.id)] == ["Mine as well."]


def test_dropping_takes_out_and_undo_puts_back(small: Run) -> None:
    before = shown(small)
    task, *_, other = export_rows(small)
    drop(small, task.instruction_id, by="ann")
    assert exported(small, task.instruction_id) == []
    drop(small, other.id, by="ann")
    assert exported(small, other.id) == []
    assert len(list(export_rows(small))) < len(before)
    for id in (task.instruction_id, other.id):
        undo(small, id, by="ann")
    assert shown(small) == before


def test_an_instance_is_edited(small: Run) -> None:
    row = next(iter(export_rows(small)))
    edit(small, row.id, Words(output="Better."), by="ann")
    [changed] = exported(small, row.id)
    assert (changed.output, changed.input, changed.override) == ("Better.", row.input, "edit")
    assert changed.mean_logprob != changed.mean_logprob  # the score was the model's text's
    assert find(small, row.id).instance.output == row.output  # type: ignore[union-attr]


def test_what_fell_with_the_target_comes_back_with_its_instruction(small: Run) -> None:
    task = first(small, "over_target")
    restore(small, task.id, by="ann")
    rows = exported(small, task.id)
    own = find(small, task.id).instances
    assert [row.id for row in rows] == [one.id for one in own if one.reason == "over_target"]
    assert rows
    assert pending(small) == []


def test_a_restored_instance_brings_back_what_fell_for_want_of_one(small: Run) -> None:
    task = first(small, "no_instances")
    with pytest.raises(ConfigError, match=f"{task.id}: passed, but none of its instances did"):
        restore(small, task.id, by="ann")
    [instance, *_] = find(small, task.id).instances
    restore(small, instance.id, by="ann")
    [row] = exported(small, task.id)
    assert (row.id, row.override) == (instance.id, "restore")
    drop(small, task.id, by="ann")
    assert exported(small, task.id) == []


def test_what_cannot_be_decided_is_said(small: Run) -> None:
    accepted, rejected = first(small, None), first(small, "not_novel")
    instance = next(row for row in export_rows(small) if row.instruction_id == accepted.id)
    for refused, message in (
        (lambda: restore(small, accepted.id, by="a"), "is accepted, and so in the dataset"),
        (lambda: drop(small, rejected.id, by="a"), r"is not in the dataset \(not_novel\)"),
        (lambda: undo(small, rejected.id, by="a"), "nothing to undo"),
        (lambda: restore(small, "r00000-p000-i99", by="a"), "the nearest is r00000-p0"),
        (lambda: restore(small, "nonsense", by="a"), "has no such candidate; the nearest is r0"),
        (lambda: restore(small, rejected.id, by=" "), "give --by NAME"),
        (lambda: edit(small, rejected.id, Words(), by="a"), "give --text, --input or --output"),
        (lambda: edit(small, rejected.id, Words(text=" "), by="a"), "--text is empty"),
        (lambda: edit(small, rejected.id, Words(input="x"), by="a"), "--input needs an --output"),
        (lambda: edit(small, instance.id, Words(text="x"), by="a"), f"edit {accepted.id} instead"),
    ):
        with pytest.raises(ConfigError, match=message):
            refused()
    assert not overrides_path(small).exists()
    restore(small, rejected.id, by="a")
    with pytest.raises(ConfigError, match="is kept already, and waits for its instances"):
        restore(small, rejected.id, by="a")
    edit(small, rejected.id, Words(output="Yes."), by="a")
    with pytest.raises(ConfigError, match="is restored already, and so in the dataset"):
        restore(small, rejected.id, by="a")
    drop(small, accepted.id, by="a")
    with pytest.raises(ConfigError, match="is dropped already"):
        drop(small, accepted.id, by="a")
    with pytest.raises(ConfigError, match=f"restore {accepted.id} first"):
        restore(small, instance.id, by="a")


def test_what_was_dropped_in_part_is_named(small: Run) -> None:
    task = next(
        one.id
        for number in small.rounds()
        for one in small.instructions(number)
        if one.reason is None and len(exported(small, one.id)) == 1
    )
    [row] = exported(small, task)
    drop(small, row.id, by="ann")
    with pytest.raises(ConfigError, match=f"{row.id} is dropped; take that back with: audit undo"):
        restore(small, task, by="ann")
    waiting = first(small, "no_instances").id
    edit(small, waiting, Words(output="Yes."), by="ann")
    drop(small, waiting, by="ann")
    with pytest.raises(ConfigError, match=f"{waiting} is dropped; take that back"):
        restore(small, waiting, by="ann")


def test_what_was_not_parsed_needs_words(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "empty", lambda request: "", stop__max_rounds=1)
    task = first(run, "parse_failure")
    with pytest.raises(ConfigError, match="write one: audit edit"):
        restore(run, task.id, by="ann")
    with pytest.raises(ConfigError, match="give one with --text"):
        edit(run, task.id, Words(output="Yes."), by="ann")
    edit(run, task.id, Words(text="Say yes.", output="Yes."), by="ann")
    [row] = export_rows(run)
    assert (row.instruction, row.output) == ("Say yes.", "Yes.")


def test_torn_and_odd_lines_are_told_and_skipped(small: Run) -> None:
    task = first(small, None)
    drop(small, task.id, by="ann")
    odd = ["[]", '{"id": "x"}', '{"id": "x", "action": "burn", "by": "", "at": ""}']
    odd += ['{"id": 7, "action": "drop", "by": "", "at": ""}', '{"id": "r0']
    with overrides_path(small).open("a") as handle:
        handle.write("\n".join(odd))
    undo(small, task.id, by="ann")
    found = read_overrides(small)
    assert [one.action for one in found.entries] == [Action.DROP, Action.UNDO]
    assert [line.number for line in found.damaged] == [2, 3, 4, 5]
    assert len(summarise(small).damaged) == 4


def test_a_line_says_who_when_and_why(small: Run) -> None:
    task = first(small, None)
    drop(small, task.id, by="ann", note="dull")
    line = json.loads(overrides_path(small).read_text())
    assert line.pop("at").endswith("Z")
    assert line == {"id": task.id, "action": "drop", "by": "ann", "note": "dull"}
    assert summarise(small).overrides == {"drop": 1}


def test_exports_name_what_a_person_changed(small: Run, tmp_path: Path) -> None:
    task = first(small, None)
    edit(small, task.id, Words(text="Another text."), by="ann")
    export(small, Format.PARQUET, tmp_path / "data.parquet")
    rows = pq.read_table(tmp_path / "data.parquet").to_pylist()
    assert {row["override"] for row in rows if row["instruction_id"] == task.id} == {"edit"}
    for name in ("overrides.jsonl", "labels.jsonl", "samples/x.jsonl"):
        with pytest.raises(ConfigError, match="is a part of the run itself"):
            export(small, Format.ALPACA, small.path / name)


def test_a_teacher_did_not_answer_what_a_person_changed(small: Run, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(Path(small.meta["config"]["model"]["name"]), teacher)
    (teacher / "model.safetensors").write_bytes(b"teacher")
    answer(
        small,
        {"model": {"name": str(teacher)}},
        make_engine=lambda *_: ScriptedEngine(lambda _: "A calm and clear answer."),
        model_progress=lambda *_: None,
        advance=lambda *_: None,
    )
    before = list(export_rows(small, Answers.TEACHER))
    task = before[0]
    edit(small, task.instruction_id, Words(text="Another text."), by="ann")
    after = list(export_rows(small, Answers.TEACHER))
    assert [row.id for row in after] == [
        row.id for row in before if row.instruction_id != task.instruction_id
    ]
    own = [r for r in export_rows(small) if r.instruction_id == task.instruction_id]
    both = list(export_rows(small, Answers.PREFER_TEACHER))
    assert [repr(row) for row in both if row.instruction_id == task.instruction_id] == [
        repr(row) for row in own
    ]


def test_a_card_tells_what_people_changed(small: Run) -> None:
    assert "people then changed" not in dataset_card(small, Format.ALPACA, Answers.OWN)
    drop(small, first(small, None).id, by="ann")
    restore(small, first(small, "not_novel").id, by="ann")
    card = dataset_card(small, Format.ALPACA, Answers.OWN)
    assert "Of these candidates people then changed: 1 restored, 1 dropped." in card


def test_standing_of_every_candidate_is_its_verdict_where_nobody_decided(small: Run) -> None:
    for number in small.rounds():
        instances = small.instances(number)
        for row in small.instructions(number):
            own = [one for one in instances if one.instruction_id == row.id]
            standing = stand(row, own, {})
            assert standing.outcome == (row.reason or ACCEPTED)
            kept = [one for one in own if one.verdict == ACCEPTED] if row.reason is None else []
            assert standing.instances == kept
