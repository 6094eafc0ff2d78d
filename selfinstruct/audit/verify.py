"""Check everything of a run that can be damaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfinstruct.store import Run


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what is wrong with it: one message for each damage."""

    rounds: int
    files: int
    problems: Sequence[str]


def verify_run(run: Run) -> Verified:
    """Compare every file of every commit with its checksum, and read every journal line.

    Unlike `Run.verify` it goes on after a damage, to name them all.
    """
    raise NotImplementedError
