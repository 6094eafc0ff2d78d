"""Requests that the engine failed on are asked again, with the same id and seed.

An engine retries by itself what may pass in a moment (a busy server). What it returns as failed is
asked again by whoever uses it.
"""

from __future__ import annotations

import logging
from collections import Counter

from selfinstruct.common.records import Completion

log = logging.getLogger(__name__)

# How often a request is asked in all.
TRIES = 3


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
