"""Judge every candidate of a run again, one by one: the long way of what-if.

It is taken where columns do not say enough (`whatif_again.UnknownRulesError`), and the short way is
tested against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from selfinstruct.common.records import NAN, InstanceCandidate, InstructionCandidate, Kind
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.filters.rules import passed_text_rules
from selfinstruct.inputs.run_inputs import Inputs
from selfinstruct.store import Run
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.commits import Commit
from selfinstruct.store.supplements import each_supplement, in_place
from selfinstruct.verdicts.candidates import Row
from selfinstruct.verdicts.changes import PENDING, Change, WhatIf
from selfinstruct.verdicts.pool import PoolKeeper, Standards
from selfinstruct.verdicts.rounds import (
    Verdicts,
    check_instance_scores,
    check_instruction_scores,
    check_output_score,
    final_verdicts,
)
from selfinstruct.verdicts.rulebook import Rulebook


def judge_all(
    run: Run, config: RunConfig, inputs: Inputs, advance: Callable[[int], object] = id
) -> WhatIf:
    """Judge all candidates of a run by a config with other thresholds.

    Raises:
        StoreError: the run is damaged.
    """
    rulebook = Rulebook(config, inputs.prompts)
    keeper = PoolKeeper(inputs.first_pool, config, calibration_starts(run))
    before, after = _Rows(), _Rows()
    tasks = 0
    rounds = run.rounds()
    for number in rounds:
        recorded = Verdicts(run.instructions(number), run.instances(number))
        room = run.info(number)["target"] - tasks
        verdicts = _verdicts_again(recorded, number, rulebook, keeper.standards, room)
        keeper.close_round(verdicts.instructions)
        tasks += verdicts.tasks
        before.add(recorded)
        after.add(verdicts)
        advance(number)
    likelihood = keeper.standards.thresholds
    for supplement in each_supplement(run, completions=False):
        again = supplement_again(supplement, after.instructions, rulebook, likelihood)
        rows = [in_place(before.instructions[row.id], row) for row in supplement.instructions]
        before.add(Verdicts(rows, list(supplement.instances)))
        after.add(again)
    return WhatIf(
        before=Counter(map(outcome_of, before.instructions.values())),
        after=Counter(map(outcome_of, after.instructions.values())),
        changes=_changes(before.instructions, after.instructions, text=lambda row: row.text),
        instances_before=Counter(map(outcome_of, before.instances.values())),
        instances_after=Counter(map(outcome_of, after.instances.values())),
        instance_changes=_changes(before.instances, after.instances, text=lambda row: row.output),
        thresholds=likelihood.in_force(rounds[-1] if rounds else 0),
    )


@dataclass
class _Rows:
    """Candidates by id, in the order of their verdicts; a later row replaces an earlier one."""

    instructions: dict[str, InstructionCandidate] = field(default_factory=dict)
    instances: dict[str, InstanceCandidate] = field(default_factory=dict)

    def add(self, verdicts: Verdicts) -> None:
        self.instructions |= {row.id: row for row in verdicts.instructions}
        self.instances |= {row.id: row for row in verdicts.instances}


def _verdicts_again(
    recorded: Verdicts, number: int, rulebook: Rulebook, standards: Standards, room: int
) -> Verdicts:
    """Check a round's rows by likelihood and novelty; verdicts of the rules on text stay."""
    labels = {row.id: bool(row.is_classification) for row in recorded.instructions}
    instances: dict[str, list[InstanceCandidate]] = {}
    for row in recorded.instances:
        kind = Kind.LABEL if labels[row.instruction_id] else Kind.OUTPUT
        fresh = replace(_before_scores(row), kind=row.kind or kind)
        instances.setdefault(row.instruction_id, []).append(fresh)
    unscored = [_before_scores(row) for row in recorded.instructions]
    checked = check_instruction_scores(unscored, number, rulebook, standards, instances)
    passed = {row.id: instances[row.id] for row in checked if row.verdict is None}
    scored = check_instance_scores(passed, number, rulebook, standards.thresholds)
    return final_verdicts(checked, labels, {**instances, **scored}, room=room)


def supplement_again(
    supplement: Commit,
    after: Mapping[str, InstructionCandidate],
    rulebook: Rulebook,
    thresholds: LikelihoodThresholds,
) -> Verdicts:
    """Check instances again that were written later.

    An instruction that is not pending now keeps its verdict, and its instances are rejected with
    it. Instances that were written because a person restored the instruction are kept.
    """
    last = supplement.info["last_round"]
    instances: dict[str, list[InstanceCandidate]] = {}
    for instance in supplement.instances:
        checked = check_output_score(_before_scores(instance), last, rulebook, thresholds)
        instances.setdefault(instance.instruction_id, []).append(checked)
    rows, kept = [], []
    for row in supplement.instructions:
        now = after[row.id]
        if row.id in supplement.restored and not _waits(now):
            kept += instances[row.id]
        else:
            rows.append(_before_scores(now) if _waits(now) else now)
    labels = {row.id: bool(row.is_classification) for row in supplement.instructions}
    verdicts = final_verdicts(rows, labels, instances, room=len(rows))
    return Verdicts(verdicts.instructions, [*verdicts.instances, *kept])


def _waits(row: InstructionCandidate) -> bool:
    return row.reason == PENDING


def _before_scores(row: Row) -> Row:
    """Return a row with the verdict of the rules on its text alone."""
    if not passed_text_rules(row.reason):
        return row
    return replace(row, verdict=None, reason=None, threshold=None)


def outcome_of(row: InstructionCandidate | InstanceCandidate) -> str:
    return str(row.reason or row.verdict)


def _changes(
    before: Mapping[str, Row], after: Mapping[str, Row], text: Callable[[Row], str]
) -> list[Change]:
    return [
        Change(
            id=id,
            before=outcome_of(row),
            after=outcome_of(after[id]),
            text=text(row),
            mean_logprob=row.mean_logprob,
            rouge_l=getattr(after[id], "rouge_l", NAN),
            neighbour_id=getattr(after[id], "neighbour_id", None),
        )
        for id, row in before.items()
        if outcome_of(row) != outcome_of(after[id])
    ]
