"""What another threshold would have decided about the candidates of a run.

The recorded candidates are judged again in their order, against a pool that grows as they
pass: a lower threshold can let a task back in whose blocker fell. The proposals stay those
of the run; with another threshold the loop would have gone on from another pool, and
would have proposed other tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfinstruct.config import NoveltyConfig, RunConfig
from selfinstruct.decide import check_novelty, first_index, is_good, score_novelty
from selfinstruct.errors import ConfigError
from selfinstruct.filters.novelty import NoveltyIndex
from selfinstruct.inputs import stored_config, stored_inputs
from selfinstruct.records import ACCEPTED, InstructionCandidate, Reason
from selfinstruct.store import Run

PENDING = str(Reason.PENDING_INSTANCES)

# What stays in the pool.
_POOLED = {ACCEPTED, str(Reason.NO_INSTANCES), PENDING}
# Verdicts given at the novelty filter or after it: only these can come out otherwise.
_REJUDGED = {
    *(None, Reason.NOT_NOVEL, Reason.NO_INSTANCES, Reason.OVER_TARGET),
    Reason.PENDING_INSTANCES,
}


@dataclass(frozen=True, slots=True)
class Change:
    """A candidate whose outcome (`accepted`, a reason, `pending_instances`) is another."""

    id: str
    before: str
    after: str
    text: str
    rouge_l: float
    neighbour_id: str | None


@dataclass(frozen=True)
class WhatIf:
    """Counts by outcome, as recorded and as judged again, and every change."""

    before: Counter[str]
    after: Counter[str]
    changes: Sequence[Change]


def what_if(run: Run, *, rouge: float, advance: Callable[[int], object] = id) -> WhatIf:
    """Judge the instructions of a run again with another ROUGE-L threshold.

    Args:
        run: the run; its config and seeds are used.
        rouge: the threshold, an F-measure in [0, 1].
        advance: told of each round that is done.

    Raises:
        ConfigError: the threshold is out of range.
        StoreError: the run is damaged.
    """
    if not 0 <= rouge <= 1:
        raise ConfigError(f"--rouge {rouge}: a ROUGE-L F-measure lies between 0 and 1")
    config = _with_threshold(stored_config(run), rouge)
    pool = list(stored_inputs(run).first_pool)
    index = first_index(pool, config)
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    changes: list[Change] = []
    tasks = 0
    for number in run.rounds():
        room = run.info(number)["target"] - tasks
        surplus = False
        for recorded in run.instructions(number):
            judged, outcome = _judge(recorded, config, index, room=room)
            room -= outcome == ACCEPTED
            tasks += outcome == ACCEPTED
            surplus |= outcome == Reason.OVER_TARGET
            if outcome in _POOLED:
                pool.append((recorded.id, recorded.text))
            was = str(recorded.reason or recorded.verdict)
            before[was] += 1
            after[outcome] += 1
            if was != outcome:
                near = (judged.rouge_l, judged.neighbour_id)
                changes.append(Change(recorded.id, was, outcome, recorded.text, *near))
        if surplus:  # as in a run that grows: what was over the target leaves the pool
            index = first_index(pool, config)
        advance(number)
    return WhatIf(before, after, changes)


def _with_threshold(config: RunConfig, rouge: float) -> RunConfig:
    novelty = NoveltyConfig(**{**config.novelty.model_dump(), "threshold": rouge})
    return config.model_copy(update={"novelty": novelty})


def _judge(
    recorded: InstructionCandidate, config: RunConfig, index: NoveltyIndex, *, room: int
) -> tuple[InstructionCandidate, str]:
    """Return the candidate with its nearest neighbour now, and its outcome now."""
    if recorded.reason not in _REJUDGED:
        return recorded, str(recorded.reason)
    candidate = score_novelty(recorded, config, index)
    failure = check_novelty(candidate, config, index)
    if failure is not None:
        return candidate, str(failure.reason)
    index.add(candidate.id, candidate.text)
    if recorded.reason in (Reason.NOT_NOVEL, Reason.PENDING_INSTANCES):
        return candidate, PENDING
    if not is_good(recorded):
        return candidate, str(recorded.reason)
    return candidate, ACCEPTED if room > 0 else str(Reason.OVER_TARGET)
