"""A run after people's decisions: what it exports, and what is completed."""

from __future__ import annotations

from typing import Any

from selfinstruct.common.records import InstructionCandidate
from selfinstruct.dataset.export import ExportRow, export_rows
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


def says_hello(request: Any) -> str:
    return " text" if request.stage == "classify" else f"Output: Hello to {len(request.prompt)}."
