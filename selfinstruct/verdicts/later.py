"""Verdicts on what is written after the rounds: a teacher's answers, missing instances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.records import (
    REJECTED,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    ParsedInstance,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.instance_rules import EMPTY_OUTPUT, check_instances
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.filters.outcomes import PENDING_INSTANCES
from selfinstruct.filters.rule import Failure, Of
from selfinstruct.verdicts.candidates import (
    instance_row,
    read_instances_of,
    with_failure,
    with_scores,
    with_verdict,
)
from selfinstruct.verdicts.parse import PARSE_DIRECT
from selfinstruct.verdicts.rounds import Verdicts, check_output_score, final_verdicts
from selfinstruct.verdicts.rulebook import Rulebook


def verdict_on_answer(
    instruction: str, instance: InstanceCandidate, completion: Completion, rulebook: Rulebook
) -> AnswerCandidate:
    """Check another model's output for an instance by the rules on its text.

    Its likelihood is not checked: the thresholds belong to the model that wrote the run.

    Args:
        instruction: text of the instruction.
        instance: the instance that is answered.
        completion: the answer.
        rulebook: config and templates of the run.
    """
    outputs = PARSE_DIRECT.at(rulebook.version)(completion.text, completion.finish_reason)
    empty = ParsedInstance(instance.input, "", (0, 0), (0, 0), truncated=False)
    answer = replace(outputs[0], input=instance.input) if outputs else empty
    row = instance_row(instance.instruction_id, instance.round, completion, 0, answer)
    row = replace(row, id=completion.request.about, answer_to=instance.id)
    written = AnswerCandidate(**{each.name: getattr(row, each.name) for each in fields(row)})
    if not outputs:
        return with_failure(written, Failure(EMPTY_OUTPUT.reason))
    rules = rulebook.rules(Of.INSTANCE)
    [failure] = check_instances(rules, instruction, [answer], rulebook.config, rulebook.markers)
    return with_verdict(written, failure)


def verdicts_of_supplement(
    rows: Sequence[InstructionCandidate],
    completions: Sequence[Completion],
    last_round: int,
    rulebook: Rulebook,
    thresholds: LikelihoodThresholds,
    restored: Mapping[str, str],
) -> Verdicts:
    """Give verdicts on instances that were written later, for instructions that lacked them.

    Args:
        rows: the instructions as their rounds have them. One that is no longer pending, since
            it was judged again, keeps its verdict, and its instances are rejected with it.
        completions: the completions of the requests for their instances.
        last_round: the last round that the same model had written then; its thresholds count.
        rulebook: config and templates of the run.
        thresholds: the likelihood thresholds of the run.
        restored: instructions that a person restored, by id, with the text that the instances
            were written for. They are checked as if they had been pending.
    """
    by_id = with_scores({completion.id: completion for completion in completions})
    waiting = [_without_pending(_as_restored(row, restored), rulebook.config) for row in rows]
    labels, instances = read_instances_of(waiting, by_id, rulebook)
    checked = {
        row.id: [
            check_output_score(instance, last_round, rulebook, thresholds)
            for instance in instances[row.id]
        ]
        for row in waiting
    }
    verdicts = final_verdicts(waiting, labels, checked, room=len(waiting))
    texts = {row.id: row.text for row in rows}  # the record keeps the model's own text
    instructions = [replace(row, text=texts[row.id]) for row in verdicts.instructions]
    return Verdicts(instructions, verdicts.instances)


def _as_restored(row: InstructionCandidate, restored: Mapping[str, str]) -> InstructionCandidate:
    if row.id not in restored:
        return row
    pending = PENDING_INSTANCES.reason
    return replace(row, text=restored[row.id], verdict=REJECTED, reason=pending)


def _without_pending(row: InstructionCandidate, config: RunConfig) -> InstructionCandidate:
    """Return a pending instruction without its verdict; any other as it is."""
    if row.reason != PENDING_INSTANCES.reason:
        return row
    return replace(row, verdict=None, reason=None, threshold=config.novelty.threshold)
