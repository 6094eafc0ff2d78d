"""Verdicts on imported candidates, from their recorded texts alone.

They are those of the rules, in the order of the flow: text, instances, likelihood (which is not
known: nothing is rejected for it), novelty. How many instances an instruction may have is the
import's own setting: it is in its JSON, and a merged run keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.records import (
    NAN,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    ParsedInstance,
)
from selfinstruct.filters.instance_rules import check_instances
from selfinstruct.filters.rule import InstructionFacts, Of, When, first_failure
from selfinstruct.filters.similarity import SAME_TEXT
from selfinstruct.inputs.task_plan import PlannedTask
from selfinstruct.store import Run
from selfinstruct.verdicts.candidates import Row, with_failure
from selfinstruct.verdicts.pool import Standards
from selfinstruct.verdicts.rounds import (
    Verdicts,
    check_instance_scores,
    check_instruction_scores,
    final_verdicts,
)
from selfinstruct.verdicts.rulebook import Rulebook

UNSCORED = "imported"
# Limits on the instances of an instruction, which an import sets for itself.
LIMITS = ("max_per_instruction", "max_per_output")


def import_rulebook(rulebook: Rulebook, limits: Mapping[str, Any]) -> Rulebook:
    """Return the rulebook with an import's own limits on the instances of an instruction."""
    config = rulebook.config
    own = {name: limits[name] for name in LIMITS if name in limits}
    instances = config.instances.model_copy(update=own)
    return replace(rulebook, config=config.model_copy(update={"instances": instances}))


def planned_candidates(tasks: Sequence[PlannedTask], number: int) -> Verdicts:
    """Return planned tasks as candidates of the round of a number, without verdicts."""
    instructions: list[InstructionCandidate] = []
    instances: list[InstanceCandidate] = []
    items: dict[int, int] = {}
    for task in tasks:
        item = items.get(task.form, 0)
        items[task.form] = item + 1
        id = ids.instruction(ids.template(number, task.form), item)
        instructions.append(
            InstructionCandidate(
                id=id,
                round=number,
                completion_id="",
                char_start=0,
                char_end=0,
                raw_text=task.instruction,
                text=task.instruction,
                parents=(),
                is_classification=task.classification,
                template=task.template,
            )
        )
        instances += [
            InstanceCandidate(
                id=ids.instance(id, place),
                instruction_id=id,
                round=number,
                completion_id="",
                input_char_start=0,
                input_char_end=0,
                output_char_start=0,
                output_char_end=0,
                input=one.input,
                output=one.output,
                template=one.template,
                source_id=one.source_id,
                shown=one.shown,
            )
            for place, one in enumerate(task.instances)
        ]
    return Verdicts(instructions, instances)


def read_import(run: Run, number: int) -> Verdicts:
    """Return the recorded candidates of an import."""
    return Verdicts(run.instructions(number), run.instances(number))


def moved_import(run: Run, number: int, offset: int) -> Verdicts:
    """Return the candidates of an import for a run in which its rounds are moved up by `offset`."""
    recorded = read_import(run, number)

    def moved(id: str) -> str:
        return ids.renumbered(id, offset)

    place = offset + number
    return Verdicts(
        [replace(row, id=moved(row.id), round=place) for row in recorded.instructions],
        [
            replace(row, id=moved(row.id), instruction_id=moved(row.instruction_id), round=place)
            for row in recorded.instances
        ],
    )


def verdicts_of_import(
    recorded: Verdicts, number: int, rulebook: Rulebook, standards: Standards, *, room: int
) -> Verdicts:
    """Give verdicts on imported candidates; whatever verdict and scores they have is ignored.

    Args:
        recorded: the candidates, in the order in which they are judged.
        number: of the round whose place the import takes.
        rulebook: config and templates of the run, with the import's own limits.
        standards: the pool so far; what passes is added.
        room: tasks that the target still lacks.
    """
    own_lines = rulebook.prompts.own_lines(rulebook.version)
    rules = rulebook.rules(Of.INSTRUCTION, When.TEXT, When.TEXT)
    labels = {row.id: bool(row.is_classification) for row in recorded.instructions}
    by_instruction: dict[str, list[InstanceCandidate]] = {
        row.id: [] for row in recorded.instructions
    }
    for row in recorded.instances:
        by_instruction[row.instruction_id].append(row)
    candidates, instances = [], {}
    for task in recorded.instructions:
        facts = InstructionFacts(task.text, prompt_lines=own_lines)
        fresh = _unjudged(task)
        candidates.append(with_failure(fresh, first_failure(rules, facts, rulebook.config)))
        instances[task.id] = _check_instances(task, by_instruction[task.id], rulebook)
    checked = check_instruction_scores(candidates, number, rulebook, standards, instances)
    passed = {row.id: instances[row.id] for row in checked if row.verdict is None}
    scored = check_instance_scores(passed, number, rulebook, standards.thresholds)
    return final_verdicts(checked, labels, {**instances, **scored}, room=room)


def _check_instances(
    task: InstructionCandidate, rows: Sequence[InstanceCandidate], rulebook: Rulebook
) -> list[InstanceCandidate]:
    parsed = [
        ParsedInstance(row.input, row.output, (0, 0), (0, 0), truncated=False) for row in rows
    ]
    same = SAME_TEXT.at(rulebook.version)
    failures = check_instances(
        rulebook.rules(Of.INSTANCE), task.text, parsed, rulebook.config, rulebook.markers, same
    )
    kind = Kind.LABEL if task.is_classification else Kind.OUTPUT
    return [
        with_failure(replace(_unjudged(row), kind=kind, logprob_threshold=None), failure)
        for row, failure in zip(rows, failures, strict=True)
    ]


def _unjudged(row: Row) -> Row:
    return replace(
        row,
        verdict=None,
        reason=None,
        threshold=None,
        mean_logprob=NAN,
        num_tokens=0,
        unscored_reason=UNSCORED,
    )
