"""Which verdicts the candidates of a run would have with other thresholds.

The recorded candidates are checked again in their order, against a pool that grows as they pass. A
task can come back in because the one that it was too near to is now rejected. The proposals stay
those of the run. With other thresholds the loop would have grown another pool, and would have
proposed other tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import NAN, InstanceCandidate, InstructionCandidate, Kind
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config, overlay
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.filters.outcomes import PENDING_INSTANCES
from selfinstruct.filters.rules import passed_text_rules
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.commits import Commit, in_place, read_supplements
from selfinstruct.verdicts.candidates import Row
from selfinstruct.verdicts.pool import PoolKeeper, Standards
from selfinstruct.verdicts.rejudge import Derivation, Source, write_derived_run
from selfinstruct.verdicts.rounds import (
    Verdicts,
    check_instance_scores,
    check_instruction_scores,
    check_output_score,
    final_verdicts,
)
from selfinstruct.verdicts.rulebook import Rulebook

PENDING = PENDING_INSTANCES.reason


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds to use instead; None leaves the run's own.

    rouge: ROUGE-L F-measure, in [0, 1].
    min_logprob: nats per token, for every kind.
    max_logprob: nats per token, for instructions and outputs.
    quantile: share of the first candidates of each kind; it replaces a `min_logprob` that the
        run was made with.
    """

    rouge: float | None = None
    min_logprob: float | None = None
    max_logprob: float | None = None
    quantile: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A candidate whose outcome changes: `accepted`, a reason, `pending_instances`."""

    id: str
    before: str
    after: str
    text: str
    mean_logprob: float
    rouge_l: float
    neighbour_id: str | None


@dataclass(frozen=True)
class WhatIf:
    """Counts by outcome, as recorded and with the other thresholds, and every change.

    `before`, `after` and `changes` are of instructions; `instances_before`, `instances_after`
    and `instance_changes` of instances. `thresholds` are the least nats per token in the last
    round, by kind.
    """

    before: Counter[str]
    after: Counter[str]
    changes: Sequence[Change]
    instances_before: Counter[str]
    instances_after: Counter[str]
    instance_changes: Sequence[Change]
    thresholds: Mapping[str, float | None]


def config_with(config: RunConfig, thresholds: Thresholds) -> RunConfig:
    """Return a run's config with other thresholds.

    Raises:
        ConfigError: one is out of range, or two contradict each other.
    """
    _check_ranges(thresholds)
    likelihood: dict[str, Any] = {}
    if thresholds.min_logprob is not None:
        likelihood["min_logprob"] = thresholds.min_logprob
    if thresholds.quantile is not None:
        likelihood |= {"quantile": thresholds.quantile, "min_logprob": None}
    if thresholds.max_logprob is not None:
        likelihood["max_logprob"] = thresholds.max_logprob
    values: dict[str, Any] = {"likelihood": likelihood}
    if thresholds.rouge is not None:
        values["novelty"] = {"threshold": thresholds.rouge}
    return build_config(overlay(config.model_dump(mode="json"), values), "what-if")


def _check_ranges(thresholds: Thresholds) -> None:
    rouge, quantile = thresholds.rouge, thresholds.quantile
    if thresholds.min_logprob is not None and quantile is not None:
        raise ConfigError(
            "--min-logprob and --quantile: each says what is too improbable; give one of them"
        )
    if rouge is not None and not 0 <= rouge <= 1:
        raise ConfigError(f"--rouge {rouge}: a ROUGE-L F-measure lies between 0 and 1")
    if quantile is not None and not 0 < quantile < 1:
        raise ConfigError(f"--quantile {quantile}: a share lies between 0 and 1")
    for name, value in (("min", thresholds.min_logprob), ("max", thresholds.max_logprob)):
        if value is not None and value > 0:
            raise ConfigError(f"--{name}-logprob {value}: a log-probability is at most 0")


def what_if(run: Run, thresholds: Thresholds, advance: Callable[[int], object] = id) -> WhatIf:
    """Check the candidates of a run again by other thresholds; nothing is written.

    Args:
        run: the run; its config and seeds are used.
        thresholds: the other thresholds.
        advance: called with the number of each round that is checked.

    Raises:
        ConfigError: a threshold is out of range.
        StoreError: the run is damaged.
    """
    config, inputs = config_with(stored_config(run), thresholds), stored_inputs(run)
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
    for supplement in read_supplements(run):
        again = _supplement_again(supplement, after, rulebook, likelihood)
        rows = [in_place(before.instructions[row.id], row) for row in supplement.instructions]
        before.add(Verdicts(rows, list(supplement.instances)))
        after.add(again)
    return WhatIf(
        before=Counter(map(_outcome, before.instructions.values())),
        after=Counter(map(_outcome, after.instructions.values())),
        changes=_changes(before.instructions, after.instructions, text=lambda row: row.text),
        instances_before=Counter(map(_outcome, before.instances.values())),
        instances_after=Counter(map(_outcome, after.instances.values())),
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


def save_what_if(
    run: Run, thresholds: Thresholds, out: Path, advance: Callable[[Path], object] = id
) -> Run:
    """Write the run that other thresholds give, as a run of its own.

    Newly accepted instructions without instances are `pending_instances` there.

    Raises:
        ConfigError: a threshold is out of range, or `out` is there already.
        StoreError: the run is damaged.
        WriteError: the disk refuses.
    """
    config, inputs = config_with(stored_config(run), thresholds), stored_inputs(run)
    derivation = Derivation([Source(run)], config, inputs, "judged_from", "judged_again")
    return write_derived_run(derivation, out, advance)


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


def _supplement_again(
    supplement: Commit, after: _Rows, rulebook: Rulebook, thresholds: LikelihoodThresholds
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
        now = after.instructions[row.id]
        if row.id in supplement.restored and not _waits(now):
            kept += instances[row.id]
        else:
            rows.append(_before_scores(now) if _waits(now) else now)
    labels = {row.id: bool(row.is_classification) for row in supplement.instructions}
    verdicts = final_verdicts(rows, labels, instances, room=len(rows))
    return Verdicts(verdicts.instructions, [*verdicts.instances, *kept])


def _waits(row: InstructionCandidate) -> bool:
    return row.reason == PENDING_INSTANCES.reason


def _before_scores(row: Row) -> Row:
    """Return a row with the verdict of the rules on its text alone."""
    if not passed_text_rules(row.reason):
        return row
    return replace(row, verdict=None, reason=None, threshold=None)


def _outcome(row: InstructionCandidate | InstanceCandidate) -> str:
    return str(row.reason or row.verdict)


def _changes(
    before: Mapping[str, Row], after: Mapping[str, Row], text: Callable[[Row], str]
) -> list[Change]:
    return [
        Change(
            id=id,
            before=_outcome(row),
            after=_outcome(after[id]),
            text=text(row),
            mean_logprob=row.mean_logprob,
            rouge_l=getattr(after[id], "rouge_l", NAN),
            neighbour_id=getattr(after[id], "neighbour_id", None),
        )
        for id, row in before.items()
        if _outcome(row) != _outcome(after[id])
    ]
