"""From recorded completions to verdicts: pure, and the same for generate and replay.

Candidates are judged in (proposal, item) order: first by the rules on their text, then by
likelihood, then by novelty. Two things are carried along: the novelty index, which an
instruction that passes enters at once, whatever becomes of its instances later; and the
likelihood thresholds, which the first rounds' candidates fix.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from selfinstruct.common import ids
from selfinstruct.common.records import (
    ACCEPTED,
    REJECTED,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    Markers,
    ParsedInstance,
    Stage,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.instance_rules import check_instances
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.filters.novelty.index import NOTHING_NEAR, NoveltyIndex
from selfinstruct.filters.outcomes import (
    INSTANCE_PARSE_FAILURE,
    NO_INSTANCES,
    OVER_TARGET,
    PENDING_INSTANCES,
)
from selfinstruct.filters.rule import (
    Failure,
    InstanceFacts,
    InstructionFacts,
    Of,
    When,
    first_failure,
)
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.prompts import PromptLibrary
from selfinstruct.verdicts.candidates import (
    instance_row,
    instruction_row,
    read_instances,
    read_proposal,
    unparsed,
    with_gain,
    with_scores,
)
from selfinstruct.verdicts.parse import PARSE_LABEL
from selfinstruct.verdicts.pool import Standards, kind_of, see_instances

Row = TypeVar("Row", InstructionCandidate, InstanceCandidate)


@dataclass(frozen=True)
class Verdicts:
    """The judged candidates of a round, in order."""

    instructions: list[InstructionCandidate]
    instances: list[InstanceCandidate]

    @property
    def tasks(self) -> int:
        return sum(candidate.verdict == ACCEPTED for candidate in self.instructions)

    @property
    def good(self) -> int:
        """Tasks, and instructions that were surplus to the target."""
        return sum(is_good(candidate) for candidate in self.instructions)


def is_good(candidate: InstructionCandidate) -> bool:
    """Whether it passed everything: a task, or one too many for the target."""
    return candidate.verdict == ACCEPTED or candidate.reason == OVER_TARGET.reason


def check_instructions(
    proposals: Sequence[Completion],
    round: int,
    config: RunConfig,
    prompts: PromptLibrary,
    standards: Standards,
    asked: Container[str] | None = None,
) -> list[InstructionCandidate]:
    """Parse the proposals of a round and judge every instruction; those that pass are pooled.

    Args:
        proposals: completions of the propose stage, in the order of their proposals.
        round: the round's number.
        config: rules and thresholds.
        prompts: the templates, for the rule on echoes.
        standards: what is in the pool so far, and the likelihood thresholds.
        asked: in a round that was recorded, the instructions whose instances were asked for;
            others that pass are `pending_instances`.
    """
    parsed = check_instruction_texts(proposals, round, config, prompts)
    return check_instruction_scores(parsed, round, config, standards, asked)


def check_instruction_texts(
    proposals: Sequence[Completion], round: int, config: RunConfig, prompts: PromptLibrary
) -> list[InstructionCandidate]:
    """Parse the proposals of a round and judge every instruction by the rules on its text."""
    version, own_lines = config.rules_version, prompts.own_lines()
    rules = [r for r in rules_in_force(Of.INSTRUCTION, version) if r.when is When.TEXT]
    candidates = []
    for completion in proposals:
        parsed = read_proposal(completion, version)
        if not parsed:
            candidates.append(unparsed(completion, round))
        for item, instruction in enumerate(parsed):
            candidate = instruction_row(completion, round, item, instruction)
            facts = InstructionFacts(instruction.text, instruction.truncated, own_lines)
            candidates.append(with_failure(candidate, first_failure(rules, facts, config)))
    return candidates


def check_instruction_scores(
    parsed: Sequence[InstructionCandidate],
    round: int,
    config: RunConfig,
    standards: Standards,
    asked: Container[str] | None = None,
) -> list[InstructionCandidate]:
    """Judge what passed the rules by likelihood, then novelty; score all, pool what passes.

    What passes has no verdict yet: its instances decide (`final_verdicts`).
    """
    rules = [
        rule
        for rule in rules_in_force(Of.INSTRUCTION, config.rules_version)
        if When.LIKELIHOOD <= rule.when <= When.NOVELTY
    ]
    scores = [candidate.mean_logprob for candidate in parsed if candidate.verdict is None]
    standards.thresholds.see(Kind.INSTRUCTION, round, scores)
    least = standards.thresholds.least(Kind.INSTRUCTION, round)
    judged = []
    for one in parsed:
        candidate = replace(one, logprob_threshold=least)
        candidate = score_novelty(candidate, config, standards.index)
        if candidate.verdict is not None:
            judged.append(candidate)
            continue
        facts = InstructionFacts(
            candidate.text,
            mean_logprob=candidate.mean_logprob,
            logprob_threshold=least,
            rouge_l=candidate.rouge_l,
            scorable=standards.index.scorable(candidate.text),
        )
        failure = first_failure(rules, facts, config)
        if failure is None:
            standards.index.add(candidate.id, candidate.text)
            if asked is not None and candidate.id not in asked:
                failure = Failure(PENDING_INSTANCES.reason)
            else:
                candidate = replace(candidate, threshold=config.novelty.threshold)
        judged.append(with_failure(candidate, failure))
    return judged


def score_novelty(
    candidate: InstructionCandidate, config: RunConfig, index: NoveltyIndex
) -> InstructionCandidate:
    """Record the nearest neighbour, if it is nearer than `audit_floor` or the threshold.

    `rouge_l` is NaN where nothing in the pool comes that near (0 in the oldest runs).
    """
    floor = min(config.novelty.threshold, config.novelty.audit_floor)
    match = index.nearest(candidate.text, floor)
    nothing_near = NOTHING_NEAR.at(config.rules_version)
    return replace(
        candidate,
        novelty_tokenizer=str(index.tokenizer_of(candidate.text)),
        rouge_l=match.score if match else nothing_near(index.scorable(candidate.text)),
        neighbour_id=match.id if match else None,
    )


def check_instance_texts(
    candidate: InstructionCandidate,
    completion: Completion,
    config: RunConfig,
    markers: Markers,
    scores: Mapping[str, Completion],
) -> list[InstanceCandidate]:
    """Parse an instances completion and judge every instance of it by the rules on its text.

    Args:
        candidate: the instruction.
        completion: what was written for it.
        config: the rules.
        markers: the words that stand before inputs and outputs.
        scores: completions of scoring requests by id, for the conditional gain.
    """
    parsed = read_instances(completion, markers, config.rules_version)
    if not parsed:
        empty = ParsedInstance("", "", (0, 0), (0, 0), truncated=False)
        row = instance_row(candidate.id, candidate.round, completion, 0, empty)
        return [with_failure(row, Failure(INSTANCE_PARSE_FAILURE.reason))]
    rules = rules_in_force(Of.INSTANCE, config.rules_version)
    failures = check_instances(rules, candidate.text, parsed, config, markers)
    rows = []
    for number, (instance, failure) in enumerate(zip(parsed, failures, strict=True)):
        row = instance_row(candidate.id, candidate.round, completion, number, instance)
        if config.likelihood.gain:
            row = with_gain(row, scores.get(ids.score(row.id)))
        rows.append(with_failure(row, failure))
    return rows


def check_instance_scores(
    parsed: Mapping[str, Sequence[InstanceCandidate]],
    round: int,
    config: RunConfig,
    thresholds: LikelihoodThresholds,
) -> dict[str, list[InstanceCandidate]]:
    """Judge what passed the rules by the likelihood of its output or label."""
    see_instances(thresholds, round, [row for rows in parsed.values() for row in rows])
    return {
        id: [check_output_score(row, round, config, thresholds) for row in rows]
        for id, rows in parsed.items()
    }


def check_output_score(
    row: InstanceCandidate, round: int, config: RunConfig, thresholds: LikelihoodThresholds
) -> InstanceCandidate:
    """Judge one instance by the thresholds as they are, if it passed the rules on its text."""
    kind = kind_of(row)
    least = thresholds.least(kind, round)
    row = replace(row, logprob_threshold=least)
    if row.verdict is not None:
        return row
    rules = [
        rule
        for rule in rules_in_force(Of.INSTANCE, config.rules_version)
        if rule.when is When.LIKELIHOOD
    ]
    facts = InstanceFacts(
        "",
        row.input,
        row.output,
        mean_logprob=row.mean_logprob,
        logprob_threshold=least,
        kind=kind,
    )
    return with_verdict(row, first_failure(rules, facts, config))


def final_verdicts(
    candidates: Sequence[InstructionCandidate],
    labels: Mapping[str, bool],
    instances: Mapping[str, Sequence[InstanceCandidate]],
    *,
    room: int,
) -> Verdicts:
    """Give the last verdicts of a round: no valid instance, or over the target.

    Args:
        candidates: judged by everything before.
        labels: for each whose instances were asked for, whether it is classification.
        instances: for each of them, its judged instances. Those of one that falls when it is
            judged again fall with it, for the same reason; none is dropped.
        room: tasks that are still wanted.
    """
    settled: list[InstructionCandidate] = []
    rows: list[InstanceCandidate] = []
    for candidate in candidates:
        if candidate.id not in instances:
            settled.append(candidate)
            continue
        own = list(instances[candidate.id])
        task = replace(candidate, is_classification=labels[candidate.id])
        if task.verdict is None:
            if not any(row.verdict == ACCEPTED for row in own):
                task = with_failure(task, Failure(NO_INSTANCES.reason))
            elif room <= 0:
                task = with_failure(task, Failure(OVER_TARGET.reason))
            else:
                task = replace(task, verdict=ACCEPTED)
                room -= 1
        settled.append(task)
        rows += own if task.verdict == ACCEPTED else [_falls_with(task, row) for row in own]
    return Verdicts(settled, rows)


def verdicts_of_round(
    completions: Sequence[Completion],
    round: int,
    config: RunConfig,
    prompts: PromptLibrary,
    standards: Standards,
    *,
    room: int,
) -> Verdicts:
    """Judge a whole recorded round again, from its completions alone."""
    by_id = with_scores({completion.id: completion for completion in completions})
    proposals = [c for c in by_id.values() if c.request.stage is Stage.PROPOSE]
    proposals.sort(key=lambda completion: ids.order(completion.id))
    asked = {c.request.about for c in by_id.values() if c.request.stage is Stage.INSTANCES}
    candidates = check_instructions(proposals, round, config, prompts, standards, asked)
    labels, parsed = read_instances_of(
        [candidate for candidate in candidates if candidate.id in asked],
        by_id,
        config,
        prompts.markers,
    )
    passed = [candidate.id for candidate in candidates if candidate.verdict is None]
    judged = check_instance_scores(
        {id: parsed[id] for id in passed}, round, config, standards.thresholds
    )
    return final_verdicts(candidates, labels, {**parsed, **judged}, room=room)


def read_instances_of(
    asked: Sequence[InstructionCandidate],
    by_id: Mapping[str, Completion],
    config: RunConfig,
    markers: Markers,
) -> tuple[dict[str, bool], dict[str, list[InstanceCandidate]]]:
    """Return for each instruction whether it is classification, and its parsed instances."""
    parse_label = PARSE_LABEL.at(config.rules_version)
    labels: dict[str, bool] = {}
    parsed: dict[str, list[InstanceCandidate]] = {}
    for candidate in asked:
        label = by_id.get(ids.request(candidate.id, Stage.CLASSIFY))
        labels[candidate.id] = label is not None and parse_label(label.text, markers)
        written = by_id[ids.request(candidate.id, Stage.INSTANCES)]
        parsed[candidate.id] = check_instance_texts(candidate, written, config, markers, by_id)
    return labels, parsed


def _falls_with(task: InstructionCandidate, row: InstanceCandidate) -> InstanceCandidate:
    """Return an instance of an instruction that is no task; what it fell for itself stays."""
    if row.verdict == REJECTED or task.reason == NO_INSTANCES.reason:
        return row
    return replace(row, verdict=REJECTED, reason=task.reason)


def with_failure(row: Row, failure: Failure | None) -> Row:
    """Return a candidate as rejected for a failure, if there is one; else as it is."""
    if failure is None:
        return row
    return replace(row, verdict=REJECTED, reason=failure.reason, threshold=failure.threshold)


def with_verdict(row: Row, failure: Failure | None) -> Row:
    """Return a candidate as rejected for a failure, or as accepted."""
    return replace(row, verdict=ACCEPTED) if failure is None else with_failure(row, failure)
