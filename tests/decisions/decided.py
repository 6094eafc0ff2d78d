"""A run after people's decisions: what it exports, and what is completed."""

from __future__ import annotations

from typing import Any

from selfinstruct.common.records import InstructionCandidate
from selfinstruct.dataset.rows import ExportRow, export_rows
from selfinstruct.decisions.decide import Words, drop, edit, restore, undo
from selfinstruct.engines.scripted import Script, ScriptedEngine
from selfinstruct.generate.complete import Supplemented, complete
from selfinstruct.store import Run
from tests.conftest import varied_script


def first(run: Run, reason: str | None) -> InstructionCandidate:
    rows = (row for number in run.rounds() for row in run.instructions(number))
    return next(row for row in rows if row.reason == reason)


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


def decide_everything(run: Run) -> dict[str, str]:
    """Decide in every way there is, and complete what waits; return the outcome of each id.

    Two more tasks than the run had: one restored and completed, one restored with what fell with
    it, one rescued by an instance of its own and one typed, but two are dropped, one of them by
    its only instance.
    """
    accepted = [
        row for number in run.rounds() for row in run.instructions(number) if row.reason is None
    ]
    completed, whole = first(run, "not_novel").id, first(run, "over_target").id
    rescued, typed = first(run, "no_instances").id, first(run, "unsuitable_keyword").id
    edited, dropped, kept = accepted[0].id, accepted[1].id, accepted[-1].id
    emptied = next(row.id for row in accepted[2:] if len(instances_of(run, row.id)) == 1)
    restore(run, completed, by="ann")
    restore(run, whole, by="ann")
    restore(run, instances_of(run, rescued)[0], by="ann")
    edit(run, typed, Words(output="Mine."), by="ann")
    edit(run, edited, Words(text="Another text."), by="ann")
    drop(run, dropped, by="ann")
    drop(run, instances_of(run, emptied)[0], by="ann")
    drop(run, kept, by="ann")
    undo(run, kept, by="ann")
    finish(run, says_hello)
    tasks = dict.fromkeys((completed, whole, rescued, typed, edited, kept), "accepted")
    return {**tasks, **dict.fromkeys((dropped, emptied), "dropped")}


def instances_of(run: Run, id: str) -> list[str]:
    """Ids of the instances of an instruction that have an output."""
    return [
        row.id
        for number in run.rounds()
        for row in run.instances(number)
        if row.instruction_id == id and row.output.strip()
    ]


def says_hello(request: Any) -> str:
    return " text" if request.stage == "classify" else f"Output: Hello to {len(request.prompt)}."
