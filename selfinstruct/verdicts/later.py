"""Verdicts on what was asked for after the rounds: a teacher's answers, missing instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from selfinstruct.common.records import (
    REJECTED,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Markers,
    ParsedInstance,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.instance_rules import EMPTY_OUTPUT, check_instances
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.filters.outcomes import PENDING_INSTANCES
from selfinstruct.filters.rule import Failure, Of
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.prompts import PromptLibrary
from selfinstruct.verdicts.candidates import instance_row, with_scores
from selfinstruct.verdicts.parse import PARSE_DIRECT
from selfinstruct.verdicts.rounds import (
    Verdicts,
    check_output_score,
    final_verdicts,
    read_instances_of,
    with_failure,
    with_verdict,
)


def verdict_on_answer(
    instruction: str,
    answered: InstanceCandidate,
    completion: Completion,
    config: RunConfig,
    markers: Markers,
) -> InstanceCandidate:
    """Judge another model's output for an instance, by the rules on its text.

    Not by its likelihood: the thresholds are those of the model that wrote the run.
    """
    version = config.rules_version
    parsed = PARSE_DIRECT.at(version)(completion.text, completion.finish_reason)
    base = ParsedInstance(answered.input, "", (0, 0), (0, 0), truncated=False)
    found = replace(parsed[0], input=answered.input) if parsed else base
    row = instance_row(answered.instruction_id, answered.round, completion, 0, found)
    row = replace(row, id=completion.request.about, answer_to=answered.id)
    if not parsed:
        return with_failure(row, Failure(EMPTY_OUTPUT.reason))
    rules = rules_in_force(Of.INSTANCE, version)
    [failure] = check_instances(rules, instruction, [found], config, markers)
    return with_verdict(row, failure)


def verdicts_of_supplement(
    rows: Sequence[InstructionCandidate],
    completions: Sequence[Completion],
    last_round: int,
    config: RunConfig,
    prompts: PromptLibrary,
    thresholds: LikelihoodThresholds,
    restored: Mapping[str, str],
) -> Verdicts:
    """Judge instances that were written later, for instructions that lacked them.

    Args:
        rows: the instructions as their rounds have them. One that is not pending any more,
            since it was judged again, keeps its verdict, and its instances fall with it.
        completions: what was asked for them, and what came.
        last_round: the last one that the same model had written then; its thresholds count.
        config: the rules.
        prompts: for the markers.
        thresholds: the likelihood thresholds of the run.
        restored: instructions that a person wanted, by id, with the text that the instances
            were written for. They are judged as if they had been pending.
    """
    by_id = with_scores({completion.id: completion for completion in completions})
    waiting = [_no_longer_pending(_as_restored(row, restored), config) for row in rows]
    labels, parsed = read_instances_of(waiting, by_id, config, prompts.markers)
    judged = {
        row.id: [check_output_score(one, last_round, config, thresholds) for one in parsed[row.id]]
        for row in waiting
    }
    verdicts = final_verdicts(waiting, labels, judged, room=len(waiting))
    texts = {row.id: row.text for row in rows}  # the model's own stays in the record
    instructions = [replace(row, text=texts[row.id]) for row in verdicts.instructions]
    return Verdicts(instructions, verdicts.instances)


def _as_restored(row: InstructionCandidate, restored: Mapping[str, str]) -> InstructionCandidate:
    if row.id not in restored:
        return row
    pending = PENDING_INSTANCES.reason
    return replace(row, text=restored[row.id], verdict=REJECTED, reason=pending)


def _no_longer_pending(row: InstructionCandidate, config: RunConfig) -> InstructionCandidate:
    if row.reason != PENDING_INSTANCES.reason:
        return row
    return replace(row, verdict=None, reason=None, threshold=config.novelty.threshold)
