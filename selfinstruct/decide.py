"""From recorded completions to verdicts: pure, and the same for generate and replay.

Candidates are judged in (proposal, item) order. The novelty index is the one thing that
is carried along: an instruction that passes the rules and is novel enters it at once,
whatever becomes of its instances later.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from selfinstruct.candidates import (
    instance_row,
    instruction_row,
    read_instances,
    read_proposal,
    unparsed,
)
from selfinstruct.config import RunConfig
from selfinstruct.filters.heuristics import Failure, check_instruction
from selfinstruct.filters.instances import check_instances
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
    Markers,
    ParsedInstance,
    Reason,
    SeedTask,
    Stage,
    id_order,
)


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
    return candidate.verdict == ACCEPTED or candidate.reason is Reason.NO_INSTANCES


class PoolKeeper:
    """The novelty index of rounds that are judged one after the other.

    What was over the target does not stay in the pool of a run that grows afterwards.
    """

    def __init__(self, first_pool: Iterable[tuple[str, str]], config: RunConfig) -> None:
        self._pool = list(first_pool)
        self._config = config
        self.index = first_index(self._pool, config)

    def settle(self, verdicts: Verdicts) -> None:
        """Take in the last verdicts of a round that was judged with `index`."""
        self._pool += [(c.id, c.text) for c in verdicts.instructions if is_pooled(c)]
        if any(c.reason is Reason.OVER_TARGET for c in verdicts.instructions):
            self.index = first_index(self._pool, self._config)


def judge_instructions(
    proposals: Sequence[Completion],
    round: int,
    config: RunConfig,
    prompts: PromptLibrary,
    index: NoveltyIndex,
    asked: Container[str] | None = None,
) -> list[InstructionCandidate]:
    """Parse the proposals of a round and judge every instruction; adds those that pass to `index`.

    Args:
        proposals: completions of the propose stage, in the order of their proposals.
        round: the round's number.
        config: rules and thresholds.
        prompts: the templates, for the rule on echoes.
        index: what is in the pool so far.
        asked: in a round that was recorded, the instructions whose instances were asked for;
            others that pass are `pending_instances`, and do not enter the index.
    """
    own_lines = prompts.own_lines()
    candidates = []
    for completion in proposals:
        parsed = read_proposal(completion)
        if not parsed:
            candidates.append(unparsed(completion, round))
        for item, instruction in enumerate(parsed):
            candidate = instruction_row(completion, round, item, instruction)
            candidate = score_novelty(candidate, config, index)
            failure = check_instruction(instruction, config.rules, own_lines)
            failure = failure or check_novelty(candidate, config, index)
            if failure is None and asked is not None and candidate.id not in asked:
                failure = Failure(Reason.PENDING_INSTANCES)
            if failure is None:
                index.add(candidate.id, candidate.text)
            candidates.append(_with_verdict(candidate, failure, config))
    return candidates


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
    candidate: InstructionCandidate, completion: Completion, config: RunConfig, markers: Markers
) -> list[InstanceCandidate]:
    """Parse an instances completion and judge every instance of it."""
    parsed = read_instances(completion, markers)
    if not parsed:
        empty = ParsedInstance("", "", (0, 0), (0, 0), truncated=False)
        row = instance_row(candidate, completion, 0, empty)
        return [replace(row, verdict=REJECTED, reason=Reason.PARSE_FAILURE)]
    failures = check_instances(candidate.text, parsed, config.instances, markers)
    rows = []
    for number, (instance, failure) in enumerate(zip(parsed, failures, strict=True)):
        row = instance_row(candidate, completion, number, instance)
        if failure is not None:
            row = replace(row, verdict=REJECTED, reason=failure.reason, threshold=failure.threshold)
        rows.append(row)
    return rows


def judge_answer(
    instruction: str,
    answered: InstanceCandidate,
    completion: Completion,
    config: RunConfig,
    markers: Markers,
) -> InstanceCandidate:
    """Judge another model's output for an instance, by the rules on instances."""
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
    if failure is None:
        return row
    return replace(row, verdict=REJECTED, reason=failure.reason, threshold=failure.threshold)


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
    index: NoveltyIndex,
    *,
    room: int,
) -> Verdicts:
    """Judge a whole recorded round again, from its completions alone."""
    by_id = {completion.id: completion for completion in completions}
    proposals = [c for c in completions if c.request.stage is Stage.PROPOSE]
    proposals.sort(key=lambda completion: id_order(completion.id))
    asked = {id.removesuffix("-instances") for id in by_id if id.endswith("-instances")}
    candidates = judge_instructions(proposals, round, config, prompts, index, asked)
    labels: dict[str, bool] = {}
    instances: dict[str, list[InstanceCandidate]] = {}
    for candidate in candidates:
        if candidate.verdict == ACCEPTED:
            label = by_id.get(f"{candidate.id}-classify")
            labels[candidate.id] = label is not None and parse_label(label.text, prompts.markers)
            written = by_id[f"{candidate.id}-instances"]
            instances[candidate.id] = judge_instances(candidate, written, config, prompts.markers)
    return settle(candidates, labels, instances, room=room)


def _with_verdict(
    candidate: InstructionCandidate, failure: Failure | None, config: RunConfig
) -> InstructionCandidate:
    if failure is None:
        return replace(candidate, threshold=config.novelty.threshold)
    return replace(candidate, verdict=REJECTED, reason=failure.reason, threshold=failure.threshold)


def _rejected(candidate: InstructionCandidate, reason: Reason) -> InstructionCandidate:
    return replace(candidate, verdict=REJECTED, reason=reason, threshold=None)


def _over_target(row: InstanceCandidate) -> InstanceCandidate:
    if row.verdict != ACCEPTED:
        return row
    return replace(row, verdict=REJECTED, reason=Reason.OVER_TARGET)
