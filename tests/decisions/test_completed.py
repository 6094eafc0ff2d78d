"""Instances for what a person restored: written, judged, exported, and nothing else moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfinstruct.audit.queries import summarise
from selfinstruct.common import ids
from selfinstruct.dataset.rows import export_rows
from selfinstruct.decisions.decide import Words, drop, edit, restore, undo
from selfinstruct.decisions.lookup import find, outcome_of
from selfinstruct.decisions.overrides import read_overrides
from selfinstruct.generate.complete import Supplemented, pending
from selfinstruct.generate.state import committed_state
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run
from selfinstruct.store.supplements import read_supplements
from selfinstruct.train.data.rows import read_rows
from selfinstruct.verdicts.merge import merge
from selfinstruct.verdicts.replay import replay
from selfinstruct.verdicts.whatif import Thresholds, save_what_if, what_if
from tests.decisions.decided import exported, finish, first, says_hello, shown


def test_a_restored_instruction_waits_is_completed_and_exported(small: Run) -> None:
    task = first(small, "not_novel")
    before = shown(small)
    restore(small, task.id, by="ann", note="a good one")
    assert outcome_of(find(small, task.id), read_overrides(small)) == "pending_instances"
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
    assert [one.id for one in read_rows(small.path).rows] == [one.id for one in export_rows(small)]


def test_what_ignores_decisions_still_does_when_they_are_completed(
    small: Run, tmp_path: Path
) -> None:
    config, pool = stored_config(small), stored_inputs(small).first_pool
    before, state = summarise(small), committed_state(small, config, pool)
    task = first(small, "not_novel")
    restore(small, task.id, by="ann")
    edit(small, first(small, "unsuitable_keyword").id, Words(text="Draw a face."), by="ann")
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
    task = first(small, "unsuitable_keyword")
    edit(small, task.id, Words(text="Greet the sea in verse."), by="ann")
    prompts: list[str] = []

    def script(request: Any) -> str:
        if ids.known_task_number(request.about) is None:
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
    task = first(small, "not_novel")
    restore(small, task.id, by="ann")
    script = lambda request: " text" if request.stage == "classify" else "Output: [your answer]"  # noqa: E731
    assert finish(small, script) == Supplemented(1, 0)
    [instance] = find(small, task.id).instances
    assert instance.reason == "placeholder"
    assert outcome_of(find(small, task.id), read_overrides(small)) == "no_instances"
    assert pending(small) == []
    restore(small, instance.id, by="ann")
    assert [row.output for row in exported(small, task.id)] == ["[your answer]"]
