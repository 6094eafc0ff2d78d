"""Requests that the engine failed on for good: counted, and too many end the run.

They were asked again (engines/retries.py). A failure is no verdict: see verdicts/candidates.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from selfinstruct.common.errors import EngineError
from selfinstruct.common.records import Completion, Stage
from selfinstruct.engines.retries import TRIES

# A round stands as long as no more of its requests fail for good than these.
_FEW, _SMALL_SHARE = 2, 0.05


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
