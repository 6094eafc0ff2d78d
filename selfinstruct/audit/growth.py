"""What each round of a run asked, wrote and found new: the counts that a plan is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfinstruct.audit.tables import completions_of, fetch_all
from selfinstruct.common.records import ACCEPTED
from selfinstruct.filters.changes import HOLDS_KNOWN
from selfinstruct.filters.outcomes import LACKS_INSTANCES, OVER_TARGET
from selfinstruct.filters.score_rules import NOT_NOVEL
from selfinstruct.inputs.run_inputs import stored_inputs
from selfinstruct.store import Run
from selfinstruct.store.layout import COMPLETIONS, INSTRUCTIONS

# Requests that are about one instruction, by the form of their ids; all others propose.
_ABOUT_ONE = "regexp_matches(id, '-[ik][0-9]+')"


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests and their tokens."""

    requests: int
    prompt_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class RoundGrowth:
    """One round that a model wrote.

    pool: texts that its first candidate is compared with: seeds, avoided ones, earlier new ones.
    candidates: instructions, those that could not be parsed included.
    compared: candidates that passed every rule before novelty.
    novel: those of them that were new, and joined the pool.
    tasks: those of them that became tasks, or were surplus to the target.
    counted: tasks that count for the target.
    proposals, instances: requests for instructions, and about single ones.
    proposal_bytes, novel_bytes: of its files, by what they grow with.
    seconds: that it took; 0 where unknown.
    """

    number: int
    pool: int
    candidates: int
    compared: int
    novel: int
    tasks: int
    counted: int
    proposals: Asked
    instances: Asked
    proposal_bytes: int
    novel_bytes: int
    seconds: float


def growth_of(run: Run) -> list[RoundGrowth]:
    """Return the counts of all rounds that a model wrote, in their order.

    Raises:
        StoreError: a file of the run is damaged.
    """
    numbers = run.rounds()
    written = [number for number in numbers if not run.is_import(number)]
    asked = _asked(run, written)
    pool = len(stored_inputs(run).first_pool)
    rounds = []
    for number in numbers:
        info = run.info(number)
        counts = info["instructions"]
        accepted, surplus = counts.get(ACCEPTED, 0), counts.get(OVER_TARGET.reason, 0)
        pooled = accepted + sum(counts.get(reason, 0) for reason in LACKS_INSTANCES)
        if number in asked:
            novel = pooled + surplus
            known = counts.get(NOT_NOVEL.reason, 0) + counts.get(HOLDS_KNOWN.reason, 0)
            proposals, instances = asked[number]
            of_proposals, of_novel = _bytes(run.sizes(number), proposals, instances)
            rounds.append(
                RoundGrowth(
                    number,
                    pool,
                    sum(counts.values()),
                    novel + known,
                    novel,
                    accepted + surplus,
                    accepted,
                    proposals,
                    instances,
                    of_proposals,
                    of_novel,
                    float(info["seconds"]),
                )
            )
        pool += pooled  # surplus leaves the pool when the run goes on
    return rounds


def _asked(run: Run, numbers: Sequence[int]) -> dict[int, tuple[Asked, Asked]]:
    """Return the requests for instructions, and those about single ones, of each round."""
    if not numbers:
        return {}
    query = (
        f"SELECT round, {_ABOUT_ONE}, count(*), sum(num_prompt_tokens), sum(num_output_tokens) "
        f"FROM {completions_of(run, numbers)} GROUP BY ALL"
    )
    none = Asked(0, 0, 0)
    found: dict[int, tuple[Asked, Asked]] = dict.fromkeys(numbers, (none, none))
    for number, about_one, *sums in fetch_all(run, query):
        own = Asked(*(int(value or 0) for value in sums))
        found[number] = (found[number][0], own) if about_one else (own, found[number][1])
    return found


def _bytes(sizes: Mapping[str, int], proposals: Asked, instances: Asked) -> tuple[int, int]:
    """Split the size of a round by what grows with proposals, and with new instructions.

    Completions are split by their tokens: they are most of a round.
    """
    first, second = (one.prompt_tokens + one.generated_tokens for one in (proposals, instances))
    completions = sizes.get(COMPLETIONS, 0)
    share = first / (first + second) if first + second else 1.0
    of_proposals = round(completions * share) + sizes.get(INSTRUCTIONS, 0)
    return of_proposals, sum(sizes.values()) - of_proposals
