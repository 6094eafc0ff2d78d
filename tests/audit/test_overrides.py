"""A person's decisions: the last one wins, undo takes it back, and exports obey."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.answer import answer
from selfinstruct.audit.decisions import drop, edit, restore, undo
from selfinstruct.audit.lookup import find
from selfinstruct.audit.overrides import (
    Action,
    Override,
    fold,
    overrides_path,
    read_overrides,
)
from selfinstruct.audit.queries import summarise
from selfinstruct.audit.replay import replay
from selfinstruct.audit.standing import outcome_of, stand
from selfinstruct.audit.whatif import Thresholds, save_what_if, what_if
from selfinstruct.card import dataset_card
from selfinstruct.complete import Supplemented, complete, pending
from selfinstruct.engines.scripted import Script, ScriptedEngine
from selfinstruct.errors import ConfigError
from selfinstruct.export import Answers, ExportRow, Format, export, export_rows
from selfinstruct.inputs import stored_config, stored_inputs
from selfinstruct.merge import merge
from selfinstruct.records import ACCEPTED, InstructionCandidate, Reason
from selfinstruct.state import committed_state
from selfinstruct.store import Run
from selfinstruct.store.supplements import read_supplements
from selfinstruct.train.rows import read_rows
from tests.conftest import varied_script

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


def first(run: Run, reason: Reason | None) -> InstructionCandidate:
    rows = (row for number in run.rounds() for row in run.instructions(number))
    return next(row for row in rows if row.reason is reason)


def shown(run: Run) -> list[str]:
    """The dataset of a run, such that NaN equals itself."""
    return [repr(row) for row in export_rows(run)]


def exported(run: Run, id: str) -> list[ExportRow]:
    return [row for row in export_rows(run) if id in (row.instruction_id, row.id)]


def finish(run: Run, script: Script = varied_script) -> Supplemented:
    return complete(
        run,
        make_engine=lambda *_: ScriptedEngine(script),
        model_progress=lambda *_: None,
        advance=lambda *_: None,
    )


def says_hello(request: Any) -> str:
    return " text" if request.stage == "classify" else f"Output: Hello to {len(request.prompt)}."


def test_a_run_without_decisions_exports_what_was_accepted(small: Run) -> None:
    recorded = {row.id for n in small.rounds() for row in small.instances(n) if not row.reason}
    assert {row.id for row in export_rows(small)} == recorded
    assert {row.override for row in export_rows(small)} == {None}


def test_a_restored_instruction_waits_is_completed_and_exported(small: Run) -> None:
    task = first(small, Reason.NOT_NOVEL)
    before = shown(small)
    restore(small, task.id, by="ann", note="a good one")
    assert outcome_of(find(small, task.id), read_overrides(small)) == Reason.PENDING_INSTANCES
    assert shown(small) == before
    assert [row.id for row in pending(small)] == [task.id]
    assert summarise(small).waiting == 1
    assert finish(small, says_hello) == Supplemented(1, 1)
    [row] = exported(small, task.id)
    assert (row.instruction, row.override) == (task.text, "restore")
    assert row.output.startswith("Hello to")
    assert set(shown(small)) > set(before)
    assert pending(small) == []
    assert summarise(small).waiting == 0
    assert [one.id for one in read_rows(small.path)] == [one.id for one in export_rows(small)]


def test_what_ignores_decisions_still_does_when_they_are_completed(
    small: Run, tmp_path: Path
) -> None:
    config, pool = stored_config(small), stored_inputs(small).first_pool
    before, state = summarise(small), committed_state(small, config, pool)
    task = first(small, Reason.NOT_NOVEL)
    restore(small, task.id, by="ann")
    edit(small, first(small, Reason.UNSUITABLE_KEYWORD).id, text="Draw a face.", by="ann")
    drop(small, first(small, None).id, by="ann")
    finish(small, says_hello)
    [supplement] = read_supplements(small)
    assert supplement.restored.keys() == {row.id for row in supplement.instructions}
    assert "Draw a face." in supplement.restored.values()
    assert all(row.text != "Draw a face." for row in supplement.instructions)
    assert replay(small) == []
    assert summarise(small).instructions == before.instructions
    after = committed_state(small, config, pool)
    assert (after.pool, after.totals) == (state.pool, state.totals)
    found = what_if(small, Thresholds())
    assert (found.changes, found.instance_changes) == ([], [])
    # Another judgement takes over what was written, and lets it wait where it passes now.
    looser = save_what_if(small, Thresholds(rouge=0.95), tmp_path / "looser")
    assert replay(looser) == []
    assert what_if(looser, Thresholds()).instance_changes == []
    assert exported(looser, task.id)
    merged = merge([small, looser], tmp_path / "merged")
    assert replay(merged) == []


def test_instances_are_written_for_the_text_that_a_person_gave(small: Run) -> None:
    task = first(small, Reason.UNSUITABLE_KEYWORD)
    edit(small, task.id, text="Greet the sea in verse.", by="ann")
    prompts: list[str] = []

    def script(request: Any) -> str:
        prompts.append(request.prompt)
        return says_hello(request)

    assert finish(small, script).tasks == 1
    assert all("Greet the sea in verse." in prompt for prompt in prompts)
    [row] = exported(small, task.id)
    assert (row.instruction, row.override) == ("Greet the sea in verse.", "edit")
    undo(small, task.id, by="ann")
    assert exported(small, task.id) == []
    assert find(small, task.id).instruction.text == task.text
    restore(small, task.id, by="ann")  # the instances are there already
    assert exported(small, task.id)[0].instruction == task.text


def test_completed_instances_are_judged_by_the_rules_of_the_run(small: Run) -> None:
    task = first(small, Reason.NOT_NOVEL)
    restore(small, task.id, by="ann")
    script = lambda request: " text" if request.stage == "classify" else "Output: [your answer]"  # noqa: E731
    assert finish(small, script) == Supplemented(1, 0)
    [instance] = find(small, task.id).instances
    assert instance.reason is Reason.PLACEHOLDER
    assert outcome_of(find(small, task.id), read_overrides(small)) == Reason.NO_INSTANCES
    assert pending(small) == []
    restore(small, instance.id, by="ann")
    assert [row.output for row in exported(small, task.id)] == ["[your answer]"]


def test_a_person_types_an_output(small: Run) -> None:
    task = first(small, Reason.NOT_NOVEL)
    restore(small, task.id, by="ann")
    edit(small, task.id, output="Mine.", input="Given.", by="bob")
    [row] = exported(small, task.id)
    assert (row.id, row.input, row.output) == (f"{task.id}-typed", "Given.", "Mine.")
    assert pending(small) == []
    edit(small, task.id, text="Another text.", by="bob")  # adds to the edit before
    [row] = exported(small, task.id)
    assert (row.instruction, row.output) == ("Another text.", "Mine.")
    accepted = first(small, None)
    edit(small, accepted.id, output="Mine as well.", by="bob")
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
    edit(small, row.id, output="Better.", by="ann")
    [changed] = exported(small, row.id)
    assert (changed.output, changed.input, changed.override) == ("Better.", row.input, "edit")
    assert changed.mean_logprob != changed.mean_logprob  # the score was the model's text's
    assert find(small, row.id).instance.output == row.output  # type: ignore[union-attr]


def test_what_fell_with_the_target_comes_back_with_its_instruction(small: Run) -> None:
    task = first(small, Reason.OVER_TARGET)
    restore(small, task.id, by="ann")
    rows = exported(small, task.id)
    own = find(small, task.id).instances
    assert [row.id for row in rows] == [one.id for one in own if one.reason is Reason.OVER_TARGET]
    assert rows
    assert pending(small) == []


def test_a_restored_instance_brings_back_what_fell_for_want_of_one(small: Run) -> None:
    task = first(small, Reason.NO_INSTANCES)
    with pytest.raises(ConfigError, match=f"{task.id}: passed, but none of its instances did"):
        restore(small, task.id, by="ann")
    [instance, *_] = find(small, task.id).instances
    restore(small, instance.id, by="ann")
    [row] = exported(small, task.id)
    assert (row.id, row.override) == (instance.id, "restore")
    drop(small, task.id, by="ann")
    assert exported(small, task.id) == []


def test_what_cannot_be_decided_is_said(small: Run) -> None:
    accepted, rejected = first(small, None), first(small, Reason.NOT_NOVEL)
    instance = next(row for row in export_rows(small) if row.instruction_id == accepted.id)
    for refused, message in (
        (lambda: restore(small, accepted.id, by="a"), "is accepted, and so in the dataset"),
        (lambda: drop(small, rejected.id, by="a"), r"is not in the dataset \(not_novel\)"),
        (lambda: undo(small, rejected.id, by="a"), "nothing to undo"),
        (lambda: restore(small, "r00000-p000-i99", by="a"), "the nearest is r00000-p0"),
        (lambda: restore(small, "nonsense", by="a"), "has no such candidate; the nearest is r0"),
        (lambda: restore(small, rejected.id, by=" "), "give --by NAME"),
        (lambda: edit(small, rejected.id, by="a"), "give --text, --input or --output"),
        (lambda: edit(small, rejected.id, text=" ", by="a"), "--text is empty"),
        (lambda: edit(small, rejected.id, input="x", by="a"), "--input needs an --output"),
        (lambda: edit(small, instance.id, text="x", by="a"), f"edit {accepted.id} instead"),
    ):
        with pytest.raises(ConfigError, match=message):
            refused()
    assert not overrides_path(small).exists()
    restore(small, rejected.id, by="a")
    with pytest.raises(ConfigError, match="is wanted already, and waits for its instances"):
        restore(small, rejected.id, by="a")
    edit(small, rejected.id, output="Yes.", by="a")
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
    waiting = first(small, Reason.NO_INSTANCES).id
    edit(small, waiting, output="Yes.", by="ann")
    drop(small, waiting, by="ann")
    with pytest.raises(ConfigError, match=f"{waiting} is dropped; take that back"):
        restore(small, waiting, by="ann")


def test_what_was_not_parsed_needs_words(tmp_path: Path, generate: Generate) -> None:
    run, _ = generate(tmp_path / "empty", lambda request: "", stop__max_rounds=1)
    task = first(run, Reason.PARSE_FAILURE)
    with pytest.raises(ConfigError, match="write one: audit edit"):
        restore(run, task.id, by="ann")
    with pytest.raises(ConfigError, match="give one with --text"):
        edit(run, task.id, output="Yes.", by="ann")
    edit(run, task.id, text="Say yes.", output="Yes.", by="ann")
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
    assert [line.number for line in found.damaged] == [2, 3, 4, 5, 6]
    assert len(summarise(small).damaged) == 5


def test_a_line_says_who_when_and_why(small: Run) -> None:
    task = first(small, None)
    drop(small, task.id, by="ann", note="dull")
    line = json.loads(overrides_path(small).read_text())
    assert line.pop("at").endswith("Z")
    assert line == {"id": task.id, "action": "drop", "by": "ann", "note": "dull"}
    assert summarise(small).overrides == {"drop": 1}


def test_exports_name_what_a_person_changed(small: Run, tmp_path: Path) -> None:
    task = first(small, None)
    edit(small, task.id, text="Another text.", by="ann")
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
    edit(small, task.instruction_id, text="Another text.", by="ann")
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
    restore(small, first(small, Reason.NOT_NOVEL).id, by="ann")
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
