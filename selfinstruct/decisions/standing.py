"""How a run's candidates stand with people's decisions applied: what an export has.

An instruction is kept if it was accepted, restored or edited, and not dropped. One that was
rejected only because it has no valid instance is kept if a person restores an instance of it. Its
instances are kept if they were accepted, restored or edited, and not dropped. Restoring an
instruction also restores the instances that were rejected only with it. An output that a person
typed for an instruction replaces all its instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from selfinstruct.common import ids
from selfinstruct.common.records import ACCEPTED, NAN, InstanceCandidate, InstructionCandidate
from selfinstruct.decisions.overrides import Action, Override
from selfinstruct.filters.outcomes import LACKS_INSTANCES, NO_INSTANCES, PENDING_INSTANCES
from selfinstruct.filters.rules import fails_by_its_text

DROPPED = "dropped"
PENDING = PENDING_INSTANCES.reason


@dataclass(frozen=True)
class Standing:
    """An instruction with a person's edits, and its kept instances.

    outcome: `accepted`, `pending_instances` (kept, but it has no instance yet), `dropped`, or
        the reason of its rejection.
    changed: ids of the instruction and instances that a person edited.
    """

    instruction: InstructionCandidate
    instances: Sequence[InstanceCandidate]
    outcome: str
    changed: frozenset[str] = frozenset()

    @property
    def is_kept(self) -> bool:
        """Whether it is in the dataset, or will be once it has an instance."""
        return self.outcome in (ACCEPTED, PENDING)

    def is_reworded(self, instance: InstanceCandidate) -> bool:
        """Whether a person changed the task of an instance, or wrote its output."""
        return not self.changed.isdisjoint((self.instruction.id, instance.id))


def stand(
    instruction: InstructionCandidate,
    instances: Sequence[InstanceCandidate],
    decisions: Mapping[str, Override],
) -> Standing:
    """Apply the decisions that count now to one instruction.

    Args:
        instruction: as judged, later completions in place.
        instances: all its instances, likewise.
        decisions: by id.
    """
    decision = decisions.get(instruction.id)
    row = _edited_instruction(instruction, decision)
    if decision is not None and decision.action is Action.DROP:
        return Standing(row, [], DROPPED)
    if decision is not None and decision.output is not None:
        typed = _typed(row, decision)
        return Standing(row, [typed], ACCEPTED, frozenset({row.id, typed.id}))
    is_restored = decision is not None
    kept = [
        instance
        for instance in instances
        if _is_kept(instance, instruction, decisions, restored=is_restored)
    ]
    is_chosen = any(instance.id in decisions for instance in kept)
    is_rescued = is_chosen and instruction.reason in LACKS_INSTANCES
    if not (is_restored or is_rescued or instruction.verdict == ACCEPTED):
        return Standing(row, [], str(instruction.reason))
    edited = [_edited_instance(instance, decisions.get(instance.id)) for instance in kept]
    kept_ids = (row.id, *(instance.id for instance in kept))
    changed = frozenset(id for id in kept_ids if _is_edit(decisions, id))
    return Standing(row, edited, _outcome(instances, kept, decisions), changed)


def instance_outcome(
    standing: Standing, instance: InstanceCandidate, decisions: Mapping[str, Override]
) -> str:
    """Return the outcome of an instance, with people's decisions applied.

    Args:
        standing: of its instruction.
        instance: as judged.
        decisions: by id.
    """
    if any(row.id == instance.id for row in standing.instances):
        return ACCEPTED
    decision = decisions.get(instance.id)
    if decision is not None and decision.action is Action.DROP:
        return DROPPED
    if instance.verdict != ACCEPTED and decision is None:
        return str(instance.reason)
    # It passed, but its instruction is not kept, or a person typed another output.
    return DROPPED if standing.is_kept else standing.outcome


def fell_with(instruction: InstructionCandidate, instance: InstanceCandidate) -> bool:
    """Whether an instance was rejected only because its instruction was."""
    same = instance.reason is not None and instance.reason == instruction.reason
    return same and instance.threshold is None and not fails_by_its_text(instance.reason)


def _is_kept(
    instance: InstanceCandidate,
    instruction: InstructionCandidate,
    decisions: Mapping[str, Override],
    *,
    restored: bool,
) -> bool:
    decision = decisions.get(instance.id)
    if decision is not None:
        return decision.action is not Action.DROP
    return instance.verdict == ACCEPTED or (restored and fell_with(instruction, instance))


def _outcome(
    instances: Sequence[InstanceCandidate],
    kept: Sequence[InstanceCandidate],
    decisions: Mapping[str, Override],
) -> str:
    """Return the outcome of an instruction that is not rejected or dropped."""
    if kept:
        return ACCEPTED
    if not instances:
        return PENDING
    is_dropped = any(instance.id in decisions for instance in instances)
    return DROPPED if is_dropped else NO_INSTANCES.reason


def _is_edit(decisions: Mapping[str, Override], id: str) -> bool:
    return id in decisions and decisions[id].action is Action.EDIT


def _edited_instruction(
    row: InstructionCandidate, decision: Override | None
) -> InstructionCandidate:
    """Return a row with a person's text, without scores: those were of the model's text."""
    if decision is None or decision.text is None:
        return row
    return replace(row, text=decision.text, rouge_l=NAN, mean_logprob=NAN)


def _edited_instance(row: InstanceCandidate, decision: Override | None) -> InstanceCandidate:
    if decision is None or decision.action is not Action.EDIT:
        return row
    input = row.input if decision.input is None else decision.input
    output = row.output if decision.output is None else decision.output
    score = row.mean_logprob if (input, output) == (row.input, row.output) else NAN
    return replace(row, input=input, output=output, mean_logprob=score)


def _typed(row: InstructionCandidate, decision: Override) -> InstanceCandidate:
    """Return the instance that a person typed for an instruction."""
    return InstanceCandidate(
        id=ids.typed(row.id),
        instruction_id=row.id,
        round=row.round,
        completion_id="",
        input_char_start=0,
        input_char_end=0,
        output_char_start=0,
        output_char_end=0,
        input=decision.input or "",
        output=decision.output or "",
        verdict=ACCEPTED,
    )
