"""A run of closed tasks with known answers, and a model that answers them by a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.records import Completion, Request, Stage
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.answer_way import Answered, Asking
from selfinstruct.generate.own_answers import OwnSettings, answer_own
from selfinstruct.store import Run
from selfinstruct.store.commits import ANSWERS
from selfinstruct.verdicts.import_request import Import
from selfinstruct.verdicts.importing import import_dataset

TASKS = {
    "rolls": ("A baker makes 3 trays with 12 rolls each and sells 20. How many are left?", "16"),
    "prime": ("Is 51 a prime number? Answer yes or no.", "no"),
    "planet": ("Which of these is closest to the sun: Mars, Venus or Earth?", "Venus"),
    "poem": ("Describe the first snow of winter.", "It fell all night, and no roof was the same."),
}
TEMPLATE = """
name: closed
about: Closed tasks.
templates:
  - name: asked
    instruction: "{{ question }}"
    output: "{{ answer }}"
"""

Said = str | tuple[str, str]


def closed_run(folder: Path, tasks: Mapping[str, tuple[str, str]] = TASKS) -> Run:
    """Import the tasks as a run."""
    folder.mkdir(exist_ok=True)
    (folder / "closed.yaml").write_text(TEMPLATE)
    rows = [{"id": id, "question": q, "answer": a} for id, (q, a) in tasks.items()]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    what = Import(str(folder / "tasks.jsonl"), (str(folder / "closed.yaml"),))
    return import_dataset(what, folder / "run").run


def planned(plan: Mapping[str, Sequence[Said]]) -> Callable[[Request], Said]:
    """A script that says these texts for each task: its votes, or its attempts, in turn."""

    def script(request: Request) -> Said:
        assert request.stage is Stage.ANSWER
        name = next(
            id for id, (question, _) in TASKS.items() if f"{question}" in str(request.prompt)
        )
        vote = re.search(r"-vote(\d+)$", request.about)
        if vote:
            return plan[name][int(vote[1])]
        return plan[name][1 if request.about.endswith("-hint") else 0]

    return script


def solve(run: Run, folder: Path, script: Any, settings: OwnSettings, **options: Any) -> Answered:
    """Answer the tasks of a run by a script."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"max_position_embeddings": 8192}')
    (folder / "model.safetensors").write_bytes(b"solver")
    engine = options.pop("engine", {})
    kind = options.pop("kind", ScriptedEngine)
    values = {"model": {"name": str(folder), "prompting": "chat"}, **options.pop("values", {})}
    asking = Asking(
        make_engine=lambda *_: kind(script, **engine),
        model_progress=lambda what, share: None,
        advance=options.pop("advance", lambda done, owed: None),
        **options,
    )
    return answer_own(run, values, settings, asking)


def rows_of(run: Run) -> list[AnswerCandidate]:
    return [row for n in ANSWERS.numbers(run) for row in ANSWERS.read_answers(run, n)]


def completions_of(run: Run) -> list[Completion]:
    return [one for n in ANSWERS.numbers(run) for one in ANSWERS.read_completions(run, n)]


def by_task(run: Run) -> dict[str, list[AnswerCandidate]]:
    """The answers by the name of their task."""
    names = {
        instance.id: str(instance.source_id) for n in run.rounds() for instance in run.instances(n)
    }
    found: dict[str, list[AnswerCandidate]] = {}
    for row in rows_of(run):
        found.setdefault(names[ids.answered_by(row.id)], []).append(row)
    return found
