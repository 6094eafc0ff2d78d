"""How many proposals a round has: fewer and fewer towards the target, so that little is surplus.

A round must not depend on how fast the engine was, or a run that was killed and resumed would be
another. So its size is a function of the target and of the rounds before it: of those up to
r − 2 where round r is proposed while round r − 1 is still written. Where those let expect that
round r − 1 reaches the target, round r is not proposed ahead. If round r − 1 falls short after
all, the size of round r follows from all committed rounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

# Tasks that a proposal brings before anything is known, and how many proposals that counts for.
# Three models brought 1.6 to 2.5 with their own prompting (docs/engine.md).
PRIOR_TASKS, _PRIOR_PROPOSALS = 1.5, 4
# The yield falls slowly: these last rounds show what the next one will bring.
LAST_ROUNDS = 4


class Counts(Protocol):
    """What a committed round says of its yield; `good` counts the surplus to the target too."""

    @property
    def tasks(self) -> int: ...

    @property
    def good(self) -> int: ...

    @property
    def proposals(self) -> int: ...


def size_ahead(before: Sequence[Counts], last: int, target: int, limit: int) -> int | None:
    """Return how many proposals a round has that is proposed while the one before is written.

    Args:
        before: the rounds up to the second last one.
        last: proposals of the last one, whose yield is not known.
        target: tasks to reach.
        limit: most proposals of a round.

    Returns:
        None if the last round is expected to reach the target.
    """
    rate = tasks_per_proposal(before)
    missing = target - sum(round.tasks for round in before) - rate * last
    return _size(missing, rate, limit) if missing > 0 else None


def size_after(rounds: Sequence[Counts], target: int, limit: int) -> int:
    """Return how many proposals a round has that begins when all before it are committed."""
    missing = target - sum(round.tasks for round in rounds)
    return _size(max(1, missing), tasks_per_proposal(rounds), limit)


def tasks_per_proposal(rounds: Sequence[Counts]) -> float:
    """Return how many tasks a proposal is expected to bring, after these rounds."""
    last = [round for round in rounds if round.proposals][-LAST_ROUNDS:]
    good = sum(round.good for round in last) + PRIOR_TASKS * _PRIOR_PROPOSALS
    return good / (sum(round.proposals for round in last) + _PRIOR_PROPOSALS)


def _size(missing: float, rate: float, limit: int) -> int:
    """Return the proposals for the missing tasks, and a standard deviation (Poisson) more.

    One round more would take longer than the few tasks that may be surplus.
    """
    return max(1, min(limit, math.ceil((missing + math.sqrt(missing)) / rate)))
