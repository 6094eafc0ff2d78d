"""What other thresholds would have decided about the candidates of a run.

The recorded candidates are judged again in their order, against a pool that grows as they
pass: a lower threshold can let a task back in whose blocker fell. The proposals stay those
of the run; with another threshold the loop would have gone on from another pool, and
would have proposed other tasks.
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
from selfinstruct.store.supplements import Supplement, read_supplements
from selfinstruct.verdicts.pool import PoolKeeper
from selfinstruct.verdicts.rejudge import Source, derived_meta, write_derived_run
from selfinstruct.verdicts.rounds import (
    Row,
    Verdicts,
    check_instance_scores,
    check_instruction_scores,
    check_output_score,
    final_verdicts,
)

PENDING = PENDING_INSTANCES.reason


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What to judge by instead; None leaves what the run was judged by.

    rouge: ROUGE-L F-measure, in [0, 1].
    min_logprob: nats per token, for every kind.
    max_logprob: nats per token, for instructions and outputs.
    quantile: share of the first candidates of each kind; takes the place of a `min_logprob`
        that the run was made with.
    """

    rouge: float | None = None
    min_logprob: float | None = None
    max_logprob: float | None = None
    quantile: float | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A candidate whose outcome (`accepted`, a reason, `pending_instances`) is another."""

    id: str
    before: str
    after: str
    text: str
    mean_logprob: float
    rouge_l: float
    neighbour_id: str | None


@dataclass(frozen=True)
class WhatIf:
    """Counts by outcome, as recorded and as judged again, and every change.

    `before`, `after` and `changes` are of instructions; `instances_before`, `instances_after`
    and `instance_changes` of instances. `thresholds` are the least nats per token in force at
    the end, by kind.
    """

    before: Counter[str]
    after: Counter[str]
    changes: Sequence[Change]
    instances_before: Counter[str]
    instances_after: Counter[str]
    instance_changes: Sequence[Change]
    thresholds: Mapping[str, float | None]


def config_with(config: RunConfig, wanted: Thresholds) -> RunConfig:
    """Return a run's config with other thresholds.

    Raises:
        ConfigError: one is out of range, or two contradict each other.
    """
    if wanted.min_logprob is not None and wanted.quantile is not None:
        raise ConfigError(
            "--min-logprob and --quantile: each says what is too improbable; give one of them"
        )
    if wanted.rouge is not None and not 0 <= wanted.rouge <= 1:
        raise ConfigError(f"--rouge {wanted.rouge}: a ROUGE-L F-measure lies between 0 and 1")
    if wanted.quantile is not None and not 0 < wanted.quantile < 1:
        raise ConfigError(f"--quantile {wanted.quantile}: a share lies between 0 and 1")
    for name, value in (("min", wanted.min_logprob), ("max", wanted.max_logprob)):
        if value is not None and value > 0:
            raise ConfigError(f"--{name}-logprob {value}: a log-probability is at most 0")
    likelihood: dict[str, Any] = {}
    if wanted.min_logprob is not None:
        likelihood["min_logprob"] = wanted.min_logprob
    if wanted.quantile is not None:
        likelihood |= {"quantile": wanted.quantile, "min_logprob": None}
    if wanted.max_logprob is not None:
        likelihood["max_logprob"] = wanted.max_logprob
    values: dict[str, Any] = {"likelihood": likelihood}
    if wanted.rouge is not None:
        values["novelty"] = {"threshold": wanted.rouge}
    return build_config(overlay(config.model_dump(mode="json"), values), "what-if")


def what_if(run: Run, wanted: Thresholds, advance: Callable[[int], object] = id) -> WhatIf:
    """Judge the candidates of a run again by other thresholds; nothing is written.

    Args:
        run: the run; its config and seeds are used.
        wanted: the thresholds.
        advance: told of each round that is done.

    Raises:
        ConfigError: a threshold is out of range.
        StoreError: the run is damaged.
    """
    config = config_with(stored_config(run), wanted)
    keeper = PoolKeeper(stored_inputs(run).first_pool, config, calibration_starts(run))
    before, after = _Rows(), _Rows()
    tasks = 0
    rounds = run.rounds()
    for number in rounds:
        instructions, instances = run.instructions(number), run.instances(number)
        room = run.info(number)["target"] - tasks
        judged = _verdicts_again(instructions, instances, number, config, keeper, room)
        keeper.close_round(judged.instructions)
        tasks += judged.tasks
        before.add(instructions, instances)
        after.add(judged.instructions, judged.instances)
        advance(number)
    thresholds = keeper.standards.thresholds
    for supplement in read_supplements(run):
        again = _supplement_again(supplement, after, config, thresholds)
        before.add(
            [row for row in supplement.instructions if _waits(before.instructions[row.id])],
            supplement.instances,
        )
        after.add(again.instructions, again.instances)
    return WhatIf(
        before=Counter(map(_outcome, before.instructions.values())),
        after=Counter(map(_outcome, after.instructions.values())),
        changes=_changes(before.instructions, after.instructions, text=lambda row: row.text),
        instances_before=Counter(map(_outcome, before.instances.values())),
        instances_after=Counter(map(_outcome, after.instances.values())),
        instance_changes=_changes(before.instances, after.instances, text=lambda row: row.output),
        thresholds=thresholds.in_force(rounds[-1] if rounds else 0),
    )


@dataclass
class _Rows:
    """Candidates by id in the order in which they were judged; later rows take their place."""

    instructions: dict[str, InstructionCandidate] = field(default_factory=dict)
    instances: dict[str, InstanceCandidate] = field(default_factory=dict)

    def add(
        self, instructions: Sequence[InstructionCandidate], instances: Sequence[InstanceCandidate]
    ) -> None:
        self.instructions |= {row.id: row for row in instructions}
        self.instances |= {row.id: row for row in instances}


def save_what_if(
    run: Run, wanted: Thresholds, out: Path, advance: Callable[[Path], object] = id
) -> Run:
    """Write what another judgement gives as a run of its own.

    Newly accepted instructions without instances are `pending_instances` there.

    Raises:
        ConfigError: a threshold is out of range, or `out` is there already.
        StoreError: the run is damaged.
        WriteError: the disk refuses.
    """
    config = config_with(stored_config(run), wanted)
    inputs = stored_inputs(run)
    meta = derived_meta([run], config, inputs, "judged_from")
    return write_derived_run(
        [Source(run)], out, config, inputs, meta, reason="judged_again", advance=advance
    )


def _verdicts_again(
    instructions: Sequence[InstructionCandidate],
    instances: Sequence[InstanceCandidate],
    number: int,
    config: RunConfig,
    keeper: PoolKeeper,
    room: int,
) -> Verdicts:
    """Judge a round's rows by likelihood and novelty; verdicts of the rules stay."""
    labels = {row.id: bool(row.is_classification) for row in instructions}
    asked: dict[str, list[InstanceCandidate]] = {}
    for row in instances:
        kind = Kind.LABEL if labels[row.instruction_id] else Kind.OUTPUT
        fresh = replace(_before_scores(row), kind=row.kind or kind)
        asked.setdefault(row.instruction_id, []).append(fresh)
    judged = check_instruction_scores(
        [_before_scores(row) for row in instructions], number, config, keeper.standards, asked
    )
    passed = {row.id: asked[row.id] for row in judged if row.verdict is None}
    measured = check_instance_scores(passed, number, config, keeper.standards.thresholds)
    return final_verdicts(judged, labels, {**asked, **measured}, room=room)


def _supplement_again(
    supplement: Supplement, after: _Rows, config: RunConfig, thresholds: LikelihoodThresholds
) -> Verdicts:
    """Judge instances again that were written later; what is not pending now keeps its verdict.

    With it fall its instances, but not those that were written because a person wanted them.
    """
    last = supplement.info["last_round"]
    instances: dict[str, list[InstanceCandidate]] = {}
    for row in supplement.instances:
        judged = check_output_score(_before_scores(row), last, config, thresholds)
        instances.setdefault(row.instruction_id, []).append(judged)
    rows, kept = [], []
    for one in supplement.instructions:
        now = after.instructions[one.id]
        if one.id in supplement.restored and not _waits(now):
            kept += instances[one.id]
        else:
            rows.append(_before_scores(now) if _waits(now) else now)
    labels = {row.id: bool(row.is_classification) for row in supplement.instructions}
    settled = final_verdicts(rows, labels, instances, room=len(rows))
    return Verdicts(settled.instructions, [*settled.instances, *kept])


def _waits(row: InstructionCandidate) -> bool:
    return row.reason == PENDING_INSTANCES.reason


def _before_scores(row: Row) -> Row:
    """Return a row as the rules on its text left it."""
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
            before=_outcome(one),
            after=_outcome(after[id]),
            text=text(one),
            mean_logprob=one.mean_logprob,
            rouge_l=getattr(after[id], "rouge_l", NAN),
            neighbour_id=getattr(after[id], "neighbour_id", None),
        )
        for id, one in before.items()
        if _outcome(one) != _outcome(after[id])
    ]
