"""What candidates are held against: a pool of texts, and thresholds. Both grow by rounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from selfinstruct.common.records import (
    ACCEPTED,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    SeedTask,
)
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.likelihood import LikelihoodThresholds, SeedScores
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.filters.outcomes import ASKED_FOR_INSTANCES, LACKS_INSTANCES, OVER_TARGET
from selfinstruct.filters.rules import passed_text_rules


def first_index(pool: Iterable[tuple[str, str]], config: RunConfig) -> NoveltyIndex:
    """Return a novelty index with the texts that a run starts from, as (id, text) pairs."""
    index = NoveltyIndex(config.novelty.threshold, config.novelty.tokenizer, config.rules_version)
    index.add_all(pool)
    return index


def first_standards(
    pool: Iterable[tuple[str, str]], config: RunConfig, starts: Mapping[int, SeedScores]
) -> Standards:
    """Return the standards of a run before its first round.

    Args:
        pool: (id, text) pairs for the novelty index.
        config: thresholds.
        starts: scores of the calibration texts, by the round from which they count.
    """
    thresholds = LikelihoodThresholds(config.likelihood, starts)
    return Standards(first_index(pool, config), thresholds)


def near_duplicates(
    seeds: Iterable[SeedTask], threshold: float = 0.7
) -> Iterator[tuple[SeedTask, SeedTask, float]]:
    """Yield (earlier, later, ROUGE-L F-measure) for each seed too close to an earlier one."""
    index = NoveltyIndex(threshold)
    by_id: dict[str, SeedTask] = {}
    for seed in seeds:
        match = index.nearest(seed.instruction)
        if match:
            yield by_id[match.id], seed, match.score
        index.add(seed.id, seed.instruction)
        by_id[seed.id] = seed


def is_pooled(candidate: InstructionCandidate) -> bool:
    """Whether the novelty index holds an instruction: accepted, or passed without an instance."""
    return candidate.verdict == ACCEPTED or candidate.reason in LACKS_INSTANCES


@dataclass(frozen=True)
class Standards:
    """The novelty index and the likelihood thresholds; both grow as rounds get their verdicts."""

    index: NoveltyIndex
    thresholds: LikelihoodThresholds
    # Tasks of a run that was judged again, by id: its prompts showed them, and they are rejected
    # now, so that the index lacks them.
    others: dict[str, str] = field(default_factory=dict)

    def text_of(self, id: str) -> str | None:
        """Return the text of a task that a prompt may have shown, by its pool id."""
        return self.index.text_of(id) or self.others.get(id)

    def remember(self, instructions: Iterable[InstructionCandidate]) -> None:
        """Keep the texts of instructions that may have been shown and are not in the index."""
        for candidate in instructions:
            if candidate.is_classification is not None and not is_pooled(candidate):
                self.others[candidate.id] = candidate.text

    def take_in(
        self,
        round: int,
        instructions: Sequence[InstructionCandidate],
        instances: Sequence[InstanceCandidate],
    ) -> None:
        """Take in a round that has its verdicts, as checking it did."""
        for candidate in instructions:
            if is_pooled(candidate):
                self.index.add(candidate.id, candidate.text)
        self.remember(instructions)
        see_round(self.thresholds, round, instructions, instances)


class PoolKeeper:
    """The standards of rounds that get their verdicts one after the other.

    Instructions that were over the target leave the pool: the run may grow afterwards.
    """

    def __init__(
        self,
        first_pool: Iterable[tuple[str, str]],
        config: RunConfig,
        starts: Mapping[int, SeedScores],
    ) -> None:
        self._pool = list(first_pool)
        self._config = config
        self.standards = first_standards(self._pool, config, starts)

    def close_round(self, candidates: Sequence[InstructionCandidate]) -> None:
        """Take in the last verdicts of a round that was checked by `standards`."""
        self.standards.remember(candidates)
        self._pool += [(c.id, c.text) for c in candidates if is_pooled(c)]
        if any(c.reason == OVER_TARGET.reason for c in candidates):
            index = first_index(self._pool, self._config)
            self.standards = replace(self.standards, index=index)


def see_round(
    thresholds: LikelihoodThresholds,
    round: int,
    instructions: Sequence[InstructionCandidate],
    instances: Sequence[InstanceCandidate],
) -> None:
    """Show thresholds the scores of a round that has its verdicts, as checking it did."""
    scores = [row.mean_logprob for row in instructions if passed_text_rules(row.reason)]
    thresholds.see(Kind.INSTRUCTION, round, scores)
    passed = {row.id for row in instructions if row.reason in ASKED_FOR_INSTANCES}
    see_instances(thresholds, round, [row for row in instances if row.instruction_id in passed])


def see_instances(
    thresholds: LikelihoodThresholds, round: int, rows: Sequence[InstanceCandidate]
) -> None:
    """Show thresholds the scores of a round's outputs and labels.

    Args:
        thresholds: changed in place.
        round: the round's number.
        rows: instances of the instructions that passed.
    """
    for kind in (Kind.OUTPUT, Kind.LABEL):
        own = (row for row in rows if kind_of(row) is kind and passed_text_rules(row.reason))
        thresholds.see(kind, round, [row.mean_logprob for row in own])


def kind_of(row: InstanceCandidate) -> Kind:
    """Return the kind of text that the row's score is of; runs older than the filter lack it."""
    return row.kind or Kind.OUTPUT
