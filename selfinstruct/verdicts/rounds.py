"""From recorded completions to verdicts: pure, and the same for generate and replay.

Candidates are checked in (proposal, item) order: first by the rules on their text, then by
likelihood, then by novelty. Two things carry over from one candidate to the next. The novelty
index takes in an instruction as soon as it passes, whatever happens to its instances later. The
likelihood thresholds are fixed by the candidates of the first rounds.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.records import (
    ACCEPTED,
    REJECTED,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    Stage,
)
from selfinstruct.common.replaced import replaced
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.changes import HOLDS_KNOWN
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.filters.novelty.index import NOTHING_NEAR, NoveltyIndex
from selfinstruct.filters.outcomes import (
    ENGINE_ERROR,
    NO_INSTANCES,
    OVER_TARGET,
    PENDING_INSTANCES,
)
from selfinstruct.filters.rule import (
    Failure,
    InstanceFacts,
    InstructionFacts,
    first_failed,
)
from selfinstruct.verdicts.candidates import (
    check_instruction_texts,
    has_failed,
    read_instances_of,
    rejected,
    with_scores,
)
from selfinstruct.verdicts.pool import Standards, kind_of, see_instances
from selfinstruct.verdicts.rulebook import Rulebook


@dataclass(frozen=True)
class Verdicts:
    """The candidates of a round with their verdicts, in order."""

    instructions: list[InstructionCandidate]
    instances: list[InstanceCandidate]

    @property
    def tasks(self) -> int:
        return sum(candidate.verdict == ACCEPTED for candidate in self.instructions)

    @property
    def good(self) -> int:
        """Count the tasks, and the instructions that were surplus to the target."""
        return sum(is_good(candidate) for candidate in self.instructions)


def is_good(candidate: InstructionCandidate) -> bool:
    """Whether an instruction passed everything: it is a task, or surplus to the target."""
    return candidate.verdict == ACCEPTED or candidate.reason == OVER_TARGET.reason


def check_instructions(
    proposals: Sequence[Completion],
    round: int,
    rulebook: Rulebook,
    standards: Standards,
    with_instances: Container[str] | None = None,
) -> list[InstructionCandidate]:
    """Parse the proposals of a round and check every instruction; those that pass are pooled.

    Args:
        proposals: completions of the propose stage, in the order of their proposals.
        round: the round's number.
        rulebook: config and templates of the run.
        standards: the pool so far, and the likelihood thresholds; both grow.
        with_instances: in a recorded round, ids of the instructions whose instances were
            requested; others that pass are `pending_instances`.
    """
    candidates = check_instruction_texts(proposals, round, rulebook, standards.text_of)
    return check_instruction_scores(candidates, round, rulebook, standards, with_instances)


def check_instruction_scores(
    candidates: Sequence[InstructionCandidate],
    round: int,
    rulebook: Rulebook,
    standards: Standards,
    with_instances: Container[str] | None = None,
) -> list[InstructionCandidate]:
    """Check what passed the rules on text by likelihood, then novelty; pool what passes.

    Every candidate gets its scores. What passes has no verdict yet: it depends on its
    instances (`final_verdicts`). Arguments are those of `check_instructions`.
    """
    config = rulebook.config
    checks, index = rulebook.on_instruction_scores, standards.index
    logprobs = [candidate.mean_logprob for candidate in candidates if candidate.verdict is None]
    standards.thresholds.see(Kind.INSTRUCTION, round, logprobs)
    least = standards.thresholds.least(Kind.INSTRUCTION, round)
    checked = []
    for candidate in candidates:
        text = candidate.text
        scores: dict[str, Any] = {"logprob_threshold": least, **novelty_of(text, config, index)}
        if candidate.verdict is not None:
            checked.append(replaced(candidate, **scores))
            continue
        facts = InstructionFacts(
            text,
            mean_logprob=candidate.mean_logprob,
            logprob_threshold=least,
            rouge_l=scores["rouge_l"],
            scorable=index.scorable(text),
            held=partial(_held, index, candidate),
        )
        failure = first_failed(checks, facts)
        if failure is not None and failure.reason == HOLDS_KNOWN.reason:
            scores["neighbour_id"] = facts.held(text)
        if failure is None:
            index.add(candidate.id, text)
            if with_instances is not None and candidate.id not in with_instances:
                failure = Failure(PENDING_INSTANCES.reason)
            else:
                scores["threshold"] = config.novelty.threshold
        checked.append(replaced(candidate, **scores, **(rejected(failure) if failure else {})))
    return checked


def _held(index: NoveltyIndex, candidate: InstructionCandidate, text: str) -> str | None:
    """Return the id of a pooled text that a text holds whole; a rewriting may hold its parent."""
    held = index.held(text)
    return None if candidate.operation is not None and held in candidate.parents else held


def novelty_of(text: str, config: RunConfig, index: NoveltyIndex) -> dict[str, Any]:
    """Return the nearest neighbour, if it is nearer than `audit_floor` or the threshold.

    `rouge_l` is NaN where nothing in the pool comes that near (0 in the oldest runs).
    """
    floor = min(config.novelty.threshold, config.novelty.audit_floor)
    match = index.nearest(text, floor)
    nothing_near = NOTHING_NEAR.at(config.rules_version)
    return {
        "novelty_tokenizer": str(index.tokenizer_of(text)),
        "rouge_l": match.score if match else nothing_near(index.scorable(text)),
        "neighbour_id": match.id if match else None,
    }


def check_instance_scores(
    instances: Mapping[str, Sequence[InstanceCandidate]],
    round: int,
    rulebook: Rulebook,
    thresholds: LikelihoodThresholds,
) -> dict[str, list[InstanceCandidate]]:
    """Check what passed the rules on text by the likelihood of its output or label.

    Args:
        instances: of each instruction that passed, by its id.
        round: the round's number.
        rulebook: config and templates of the run.
        thresholds: see the scores of all these instances first.
    """
    see_instances(thresholds, round, [row for rows in instances.values() for row in rows])
    return {
        id: [check_output_score(row, round, rulebook, thresholds) for row in rows]
        for id, rows in instances.items()
    }


def check_output_score(
    row: InstanceCandidate, round: int, rulebook: Rulebook, thresholds: LikelihoodThresholds
) -> InstanceCandidate:
    """Check one instance by the thresholds as they are, if it passed the rules on its text."""
    kind = kind_of(row)
    least = thresholds.least(kind, round)
    if row.verdict is not None:
        return replaced(row, logprob_threshold=least)
    facts = InstanceFacts(
        "",
        row.input,
        row.output,
        mean_logprob=row.mean_logprob,
        logprob_threshold=least,
        kind=kind,
    )
    failure = first_failed(rulebook.on_instance_scores, facts)
    outcome = rejected(failure) if failure else {"verdict": ACCEPTED}
    return replaced(row, logprob_threshold=least, **outcome)


def final_verdicts(
    candidates: Sequence[InstructionCandidate],
    labels: Mapping[str, bool],
    instances: Mapping[str, Sequence[InstanceCandidate]],
    *,
    room: int,
) -> Verdicts:
    """Give the instructions their last verdict, from their instances and from the target.

    Args:
        candidates: checked by everything before.
        labels: for each whose instances were requested, whether it is classification.
        instances: for each of them, its checked instances. All are kept. Those of an
            instruction that is rejected when it is judged again are rejected with it, for the
            same reason.
        room: tasks that the target still lacks.
    """
    instructions: list[InstructionCandidate] = []
    rows: list[InstanceCandidate] = []
    for candidate in candidates:
        if candidate.id not in instances:
            instructions.append(candidate)
            continue
        own = list(instances[candidate.id])
        outcome: dict[str, Any] = {}
        if candidate.verdict is None:
            if all(row.reason == ENGINE_ERROR.reason for row in own):
                outcome = rejected(Failure(PENDING_INSTANCES.reason))
            elif not any(row.verdict == ACCEPTED for row in own):
                outcome = rejected(Failure(NO_INSTANCES.reason))
            elif room <= 0:
                outcome = rejected(Failure(OVER_TARGET.reason))
            else:
                outcome = {"verdict": ACCEPTED}
                room -= 1
        task = replaced(candidate, is_classification=labels[candidate.id], **outcome)
        instructions.append(task)
        rows += own if task.verdict == ACCEPTED else [_rejected_with(task, row) for row in own]
    return Verdicts(instructions, rows)


def verdicts_of_round(
    completions: Sequence[Completion],
    round: int,
    rulebook: Rulebook,
    standards: Standards,
    *,
    room: int,
) -> Verdicts:
    """Give verdicts on a whole recorded round again, from its completions alone."""
    by_id = with_scores({completion.id: completion for completion in completions})
    proposals = [c for c in by_id.values() if c.request.stage is Stage.PROPOSE]
    proposals.sort(key=lambda completion: ids.order(completion.id))
    with_instances = {c.request.about for c in by_id.values() if c.request.stage is Stage.INSTANCES}
    # Those whose classification failed were on their way to instances.
    with_instances |= {
        c.request.about
        for c in by_id.values()
        if c.request.stage is Stage.CLASSIFY and has_failed(c, rulebook.version)
    }
    candidates = check_instructions(proposals, round, rulebook, standards, with_instances)
    labels, instances = read_instances_of(
        [candidate for candidate in candidates if candidate.id in with_instances], by_id, rulebook
    )
    passed = {c.id: instances[c.id] for c in candidates if c.verdict is None}
    checked = check_instance_scores(passed, round, rulebook, standards.thresholds)
    return final_verdicts(candidates, labels, {**instances, **checked}, room=room)


def _rejected_with(task: InstructionCandidate, row: InstanceCandidate) -> InstanceCandidate:
    """Reject an instance with its instruction; a reason of its own stays."""
    if row.verdict == REJECTED or task.reason == NO_INSTANCES.reason:
        return row
    return replaced(row, verdict=REJECTED, reason=task.reason)
