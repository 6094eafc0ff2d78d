"""From recorded completions to verdicts: pure, and the same for generate and replay.

Candidates are judged in (proposal, item) order: first by the rules on their text, then by
likelihood, then by novelty. Two things are carried along: the novelty index, which an
instruction that passes enters at once, whatever becomes of its instances later; and the
likelihood thresholds, which the first rounds' candidates fix.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from selfinstruct.candidates import (
    instance_row,
    instruction_row,
    read_instances,
    read_proposal,
    score_id,
    unparsed,
    with_gain,
    with_scores,
)
from selfinstruct.config import RunConfig
from selfinstruct.filters.heuristics import Failure, check_instruction
from selfinstruct.filters.instances import check_instances
from selfinstruct.filters.likelihood import LikelihoodThresholds, SeedScores, check_likelihood
from selfinstruct.filters.novelty import NoveltyIndex
from selfinstruct.parse import parse_direct, parse_label
from selfinstruct.prompts import PromptLibrary
from selfinstruct.records import (
    ACCEPTED,
    NAN,
    REJECTED,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    Markers,
    ParsedInstance,
    Reason,
    SeedTask,
    Stage,
    id_order,
)

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


def first_index(pool: Iterable[tuple[str, str]], config: RunConfig) -> NoveltyIndex:
    """Return a novelty index that holds what a run starts from: (id, text) pairs."""
    index = NoveltyIndex(config.novelty.threshold, config.novelty.tokenizer)
    index.add_all(pool)
    return index


def first_measures(
    pool: Iterable[tuple[str, str]], config: RunConfig, starts: Mapping[int, SeedScores]
) -> Measures:
    """Return the measures that a run starts with.

    Args:
        pool: (id, text) of what the novelty index holds.
        config: thresholds.
        starts: scores of the calibration texts by the round from which they count.
    """
    thresholds = LikelihoodThresholds(config.likelihood, starts)
    return Measures(first_index(pool, config), thresholds)


def near_duplicates(
    seeds: Iterable[SeedTask], threshold: float = 0.7
) -> Iterator[tuple[SeedTask, SeedTask, float]]:
    """Yield (earlier, later, ROUGE-L) for each seed too close to an earlier one."""
    index = NoveltyIndex(threshold)
    by_id: dict[str, SeedTask] = {}
    for seed in seeds:
        match = index.nearest(seed.instruction)
        if match:
            yield by_id[match.id], seed, match.score
        index.add(seed.id, seed.instruction)
        by_id[seed.id] = seed


def is_good(candidate: InstructionCandidate) -> bool:
    """Whether it passed everything: a task, or one too many for the target."""
    return candidate.verdict == ACCEPTED or candidate.reason is Reason.OVER_TARGET


def is_pooled(candidate: InstructionCandidate) -> bool:
    """Whether the novelty index holds it: accepted, or passed but without a valid instance."""
    waiting = (Reason.NO_INSTANCES, Reason.PENDING_INSTANCES)
    return candidate.verdict == ACCEPTED or candidate.reason in waiting


# Verdicts given at the likelihood filter or after it: the rules on the text had passed.
_AFTER_RULES = {
    *(None, Reason.LOW_LIKELIHOOD, Reason.TOO_LIKELY, Reason.UNSCORABLE, Reason.NOT_NOVEL),
    *(Reason.NO_INSTANCES, Reason.PENDING_INSTANCES, Reason.OVER_TARGET),
}


def passed_rules(row: InstructionCandidate | InstanceCandidate) -> bool:
    """Whether a judged candidate had passed the rules on its text."""
    return row.reason in _AFTER_RULES


@dataclass(frozen=True)
class Measures:
    """What candidates are measured against; both grow as rounds are judged."""

    index: NoveltyIndex
    thresholds: LikelihoodThresholds

    def take_in(
        self,
        round: int,
        instructions: Sequence[InstructionCandidate],
        instances: Sequence[InstanceCandidate],
    ) -> None:
        """Take in a round that was judged before, as judging it did."""
        for candidate in instructions:
            if is_pooled(candidate):
                self.index.add(candidate.id, candidate.text)
        scores = [c.mean_logprob for c in instructions if passed_rules(c)]
        self.thresholds.see(Kind.INSTRUCTION, round, scores)
        _see_instances(instances, round, self.thresholds)


class PoolKeeper:
    """The measures of rounds that are judged one after the other.

    What was over the target does not stay in the pool of a run that grows afterwards.
    """

    def __init__(
        self,
        first_pool: Iterable[tuple[str, str]],
        config: RunConfig,
        starts: Mapping[int, SeedScores],
    ) -> None:
        self._pool = list(first_pool)
        self._config = config
        self.measures = first_measures(self._pool, config, starts)

    def settle(self, verdicts: Verdicts) -> None:
        """Take in the last verdicts of a round that was judged with `measures`."""
        self._pool += [(c.id, c.text) for c in verdicts.instructions if is_pooled(c)]
        if any(c.reason is Reason.OVER_TARGET for c in verdicts.instructions):
            index = first_index(self._pool, self._config)
            self.measures = replace(self.measures, index=index)


def judge_instructions(
    proposals: Sequence[Completion],
    round: int,
    config: RunConfig,
    prompts: PromptLibrary,
    measures: Measures,
    asked: Container[str] | None = None,
) -> list[InstructionCandidate]:
    """Parse the proposals of a round and judge every instruction; those that pass are pooled.

    Args:
        proposals: completions of the propose stage, in the order of their proposals.
        round: the round's number.
        config: rules and thresholds.
        prompts: the templates, for the rule on echoes.
        measures: what is in the pool so far, and the likelihood thresholds.
        asked: in a round that was recorded, the instructions whose instances were asked for;
            others that pass are `pending_instances`.
    """
    parsed = parse_instructions(proposals, round, config, prompts)
    return measure_instructions(parsed, round, config, measures, asked)


def parse_instructions(
    proposals: Sequence[Completion], round: int, config: RunConfig, prompts: PromptLibrary
) -> list[InstructionCandidate]:
    """Parse the proposals of a round and judge every instruction by the rules on its text."""
    own_lines = prompts.own_lines()
    candidates = []
    for completion in proposals:
        parsed = read_proposal(completion)
        if not parsed:
            candidates.append(unparsed(completion, round))
        for item, instruction in enumerate(parsed):
            candidate = instruction_row(completion, round, item, instruction)
            failure = check_instruction(instruction, config.rules, own_lines)
            candidates.append(_failed(candidate, failure))
    return candidates


def measure_instructions(
    parsed: Sequence[InstructionCandidate],
    round: int,
    config: RunConfig,
    measures: Measures,
    asked: Container[str] | None = None,
) -> list[InstructionCandidate]:
    """Judge what passed the rules by likelihood, then novelty; score all, pool what passes."""
    scores = [candidate.mean_logprob for candidate in parsed if candidate.verdict == ACCEPTED]
    measures.thresholds.see(Kind.INSTRUCTION, round, scores)
    least = measures.thresholds.least(Kind.INSTRUCTION, round)
    judged = []
    for one in parsed:
        candidate = replace(one, logprob_threshold=least)
        candidate = score_novelty(candidate, config, measures.index)
        if candidate.verdict != ACCEPTED:
            judged.append(candidate)
            continue
        failure = check_likelihood(
            candidate.mean_logprob, Kind.INSTRUCTION, least, config.likelihood
        )
        failure = failure or check_novelty(candidate, config, measures.index)
        if failure is None:
            measures.index.add(candidate.id, candidate.text)
            if asked is not None and candidate.id not in asked:
                failure = Failure(Reason.PENDING_INSTANCES)
            else:
                candidate = replace(candidate, threshold=config.novelty.threshold)
        judged.append(_failed(candidate, failure))
    return judged


def score_novelty(
    candidate: InstructionCandidate, config: RunConfig, index: NoveltyIndex
) -> InstructionCandidate:
    """Record the nearest neighbour, if it is nearer than `audit_floor` or the threshold.

    `rouge_l` is NaN where nothing in the pool comes that near.
    """
    floor = min(config.novelty.threshold, config.novelty.audit_floor)
    match = index.nearest(candidate.text, floor)
    return replace(
        candidate,
        novelty_tokenizer=str(index.tokenizer_of(candidate.text)),
        rouge_l=match.score if match else NAN,
        neighbour_id=match.id if match else None,
    )


def check_novelty(
    candidate: InstructionCandidate, config: RunConfig, index: NoveltyIndex
) -> Failure | None:
    """Judge by the recorded score; NaN, nothing near, is novel."""
    if not index.scorable(candidate.text):
        return Failure(Reason.UNSCORABLE)
    if candidate.rouge_l > config.novelty.threshold:
        return Failure(Reason.NOT_NOVEL, config.novelty.threshold)
    return None


def judge_instances(
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
    parsed = read_instances(completion, markers)
    if not parsed:
        empty = ParsedInstance("", "", (0, 0), (0, 0), truncated=False)
        row = instance_row(candidate, completion, 0, empty)
        return [replace(row, verdict=REJECTED, reason=Reason.PARSE_FAILURE)]
    failures = check_instances(candidate.text, parsed, config.instances, markers)
    rows = []
    for number, (instance, failure) in enumerate(zip(parsed, failures, strict=True)):
        row = instance_row(candidate, completion, number, instance)
        if config.likelihood.gain:
            row = with_gain(row, scores.get(score_id(row.id)))
        rows.append(_failed(row, failure))
    return rows


def measure_instances(
    parsed: Mapping[str, Sequence[InstanceCandidate]],
    round: int,
    config: RunConfig,
    thresholds: LikelihoodThresholds,
) -> dict[str, list[InstanceCandidate]]:
    """Judge what passed the rules by the likelihood of its output or label."""
    _see_instances([row for rows in parsed.values() for row in rows], round, thresholds)
    return {
        id: [judge_output(row, round, config, thresholds) for row in rows]
        for id, rows in parsed.items()
    }


def judge_output(
    row: InstanceCandidate, round: int, config: RunConfig, thresholds: LikelihoodThresholds
) -> InstanceCandidate:
    """Judge one instance by the thresholds as they are, if it passed the rules on its text."""
    kind = row.kind or Kind.OUTPUT
    least = thresholds.least(kind, round)
    row = replace(row, logprob_threshold=least)
    if row.verdict != ACCEPTED:
        return row
    return _failed(row, check_likelihood(row.mean_logprob, kind, least, config.likelihood))


def _see_instances(
    rows: Sequence[InstanceCandidate], round: int, thresholds: LikelihoodThresholds
) -> None:
    for kind in (Kind.OUTPUT, Kind.LABEL):
        passed = (row for row in rows if row.kind is kind and passed_rules(row))
        thresholds.see(kind, round, [row.mean_logprob for row in passed])


def judge_answer(
    instruction: str,
    answered: InstanceCandidate,
    completion: Completion,
    config: RunConfig,
    markers: Markers,
) -> InstanceCandidate:
    """Judge another model's output for an instance, by the rules on its text.

    Not by its likelihood: the thresholds are those of the model that wrote the run.
    """
    parsed = parse_direct(completion.text, completion.finish_reason)
    base = ParsedInstance(answered.input, "", (0, 0), (0, 0), truncated=False)
    found = replace(parsed[0], input=answered.input) if parsed else base
    task = InstructionCandidate(
        answered.instruction_id, answered.round, "", 0, 0, instruction, instruction, ()
    )
    row = instance_row(task, completion, 0, found)
    row = replace(row, id=completion.id.removesuffix("-answer"), answer_to=answered.id)
    if not parsed:
        return replace(row, verdict=REJECTED, reason=Reason.EMPTY_OUTPUT)
    [failure] = check_instances(instruction, [found], config.instances, markers)
    return _failed(row, failure)


def settle(
    candidates: Sequence[InstructionCandidate],
    labels: Mapping[str, bool],
    instances: Mapping[str, Sequence[InstanceCandidate]],
    *,
    room: int,
) -> Verdicts:
    """Give the last verdicts of a round: no valid instance, or over the target.

    Args:
        candidates: as `judge_instructions` left them.
        labels: for each that passed, whether it is classification.
        instances: for each that passed, its judged instances.
        room: tasks that are still wanted.
    """
    settled: list[InstructionCandidate] = []
    rows: list[InstanceCandidate] = []
    for candidate in candidates:
        if candidate.verdict != ACCEPTED:
            settled.append(candidate)
            continue
        own = list(instances[candidate.id])
        task = replace(candidate, is_classification=labels[candidate.id])
        if not any(row.verdict == ACCEPTED for row in own):
            task = _rejected(task, Reason.NO_INSTANCES)
        elif room <= 0:
            task = _rejected(task, Reason.OVER_TARGET)
            own = [_over_target(row) for row in own]
        else:
            room -= 1
        settled.append(task)
        rows.extend(own)
    return Verdicts(settled, rows)


def judge_round(
    completions: Sequence[Completion],
    round: int,
    config: RunConfig,
    prompts: PromptLibrary,
    measures: Measures,
    *,
    room: int,
) -> Verdicts:
    """Judge a whole recorded round again, from its completions alone."""
    by_id = with_scores({completion.id: completion for completion in completions})
    proposals = [c for c in by_id.values() if c.request.stage is Stage.PROPOSE]
    proposals.sort(key=lambda completion: id_order(completion.id))
    asked = {id.removesuffix("-instances") for id in by_id if id.endswith("-instances")}
    candidates = judge_instructions(proposals, round, config, prompts, measures, asked)
    passed = [candidate for candidate in candidates if candidate.verdict == ACCEPTED]
    labels, parsed = read_answers_to(passed, by_id, config, prompts.markers)
    instances = measure_instances(parsed, round, config, measures.thresholds)
    return settle(candidates, labels, instances, room=room)


def judge_supplement(
    pending: Sequence[InstructionCandidate],
    completions: Sequence[Completion],
    rounds: int,
    config: RunConfig,
    prompts: PromptLibrary,
    thresholds: LikelihoodThresholds,
) -> Verdicts:
    """Judge instances that were written later, for instructions that lacked them.

    Args:
        pending: the instructions as their rounds recorded them.
        completions: what was asked for them, and what came.
        rounds: of the run at that time; the thresholds are those of the last of them.
        config: the rules.
        prompts: for the markers.
        thresholds: the likelihood thresholds after so many rounds.
    """
    by_id = with_scores({completion.id: completion for completion in completions})
    passed = [
        replace(row, verdict=ACCEPTED, reason=None, threshold=config.novelty.threshold)
        for row in pending
    ]
    labels, parsed = read_answers_to(passed, by_id, config, prompts.markers)
    instances = {
        id: [judge_output(row, rounds - 1, config, thresholds) for row in rows]
        for id, rows in parsed.items()
    }
    return settle(passed, labels, instances, room=len(passed))


def read_answers_to(
    passed: Sequence[InstructionCandidate],
    by_id: Mapping[str, Completion],
    config: RunConfig,
    markers: Markers,
) -> tuple[dict[str, bool], dict[str, list[InstanceCandidate]]]:
    """Return for each instruction whether it is classification, and its parsed instances."""
    labels: dict[str, bool] = {}
    parsed: dict[str, list[InstanceCandidate]] = {}
    for candidate in passed:
        label = by_id.get(f"{candidate.id}-classify")
        labels[candidate.id] = label is not None and parse_label(label.text, markers)
        written = by_id[f"{candidate.id}-instances"]
        parsed[candidate.id] = judge_instances(candidate, written, config, markers, by_id)
    return labels, parsed


def _failed(row: Row, failure: Failure | None) -> Row:
    if failure is None:
        return row
    return replace(row, verdict=REJECTED, reason=failure.reason, threshold=failure.threshold)


def _rejected(candidate: InstructionCandidate, reason: Reason) -> InstructionCandidate:
    return replace(candidate, verdict=REJECTED, reason=reason, threshold=None)


def _over_target(row: InstanceCandidate) -> InstanceCandidate:
    if row.verdict != ACCEPTED:
        return row
    return replace(row, verdict=REJECTED, reason=Reason.OVER_TARGET)
