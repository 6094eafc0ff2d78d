"""How a run's candidates stand once a person's decisions are applied: what is exported.

An instruction is kept if it was accepted, restored or edited, and not dropped; and one that
fell only for want of a valid instance is kept with an instance that a person restored. Of its
instances those are kept that were accepted, restored or edited, and not dropped; with a
restored instruction those come back that fell with it. An output that a person typed for an
instruction takes the place of all its instances.
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
    """An instruction with a person's words in it, and those of its instances that are kept.

    outcome: `accepted`, `pending_instances` (kept, but it has no instance yet), `dropped`, or
        the reason for which it was rejected.
    changed: ids of the instruction or instances in which something is a person's.
    """

    instruction: InstructionCandidate
    instances: Sequence[InstanceCandidate]
    outcome: str
    changed: frozenset[str] = frozenset()

    @property
    def is_kept(self) -> bool:
        """Whether it is in the dataset, or will be as soon as it has an instance."""
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
        instruction: as recorded, what was completed in place.
        instances: all of its instances, likewise.
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
    """Return what became of an instance, a person's decisions applied.

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
    # It passed, but its instruction is not kept, or has an output that a person typed.
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
    """Return what becomes of an instruction that is wanted."""
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
    """Return a row with a person's text; the scores were the model's text's."""
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
