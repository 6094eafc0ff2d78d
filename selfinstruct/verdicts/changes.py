"""What becomes of the candidates of a run by other thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfinstruct.filters.outcomes import PENDING_INSTANCES

PENDING = PENDING_INSTANCES.reason


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
