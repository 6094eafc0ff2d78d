"""Requests that the engine failed on: asked again, then counted, and too many end the run.

An engine retries by itself what may pass in a moment (a busy server). What it returns as failed is
asked again here, with the same id and seed. A failure is no verdict: see verdicts/candidates.py.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from selfinstruct.common.errors import EngineError
from selfinstruct.common.records import Completion, Stage

log = logging.getLogger(__name__)

# How often a request is asked in all.
TRIES = 3
# A round stands as long as no more of its requests fail for good than these.
_FEW, _SMALL_SHARE = 2, 0.05


class Retries:
    """Counts the failures of each request."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()

    def are_left(self, completion: Completion) -> bool:
        """Whether a completion is a failure, and its request is to be asked again."""
        if completion.error is None:
            return False
        self._failures[completion.id] += 1
        left = self._failures[completion.id] < TRIES
        how = "asking again" if left else f"failed {TRIES} times"
        log.debug("%s: %s (%s)", completion.id, completion.error, how)
        return left


def count_failures(completions: Sequence[Completion]) -> dict[str, int]:
    """Count the failed requests by stage; stages without one are left out."""
    return dict(Counter(str(c.request.stage) for c in completions if c.error is not None))


def stop_if_too_many(completions: Sequence[Completion], requests: int, what: str) -> None:
    """End the run where more than a few requests failed for good, or every proposal did.

    Args:
        completions: what came back for good.
        requests: how many requests there are.
        what: what they belong to, such as `round 3`.

    Raises:
        EngineError: too many failed; says how many, and an example.
    """
    failed = [completion for completion in completions if completion.error is not None]
    proposals = [c for c in completions if c.request.stage is Stage.PROPOSE]
    many = len(failed) > _FEW and len(failed) > _SMALL_SHARE * requests
    if not many and not (proposals and all(c.error is not None for c in proposals)):
        return
    raise EngineError(
        f"{what}: {len(failed)} of {requests} requests failed {TRIES} times each, such as "
        f"{failed[0].id}: {failed[0].error}; nothing of it is committed. Remove the cause, and "
        "continue the run"
    )
