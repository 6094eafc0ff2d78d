"""Counts of tokens and verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from selfinstruct.common.records import ACCEPTED, Completion
from selfinstruct.verdicts.rounds import Verdicts


def written_tokens(completion: Completion) -> int:
    """Count the tokens that the model wrote, without those that it only scored."""
    return completion.num_output_tokens


def counted(verdicts: Verdicts) -> dict[str, Any]:
    """Return the part of a commit's JSON about its verdicts: tasks, and counts by outcome."""
    return {
        "tasks": verdicts.tasks,
        "instructions": count_outcomes(verdicts.instructions),
        "instances": count_outcomes(verdicts.instances),
    }


def count_outcomes(candidates: Sequence[Any]) -> dict[str, int]:
    """Count candidates by verdict or reason, accepted first."""
    counts = Counter(str(c.reason or c.verdict) for c in candidates)
    accepted = counts.pop(ACCEPTED, 0)
    return {ACCEPTED: accepted, **dict(sorted(counts.items()))}
