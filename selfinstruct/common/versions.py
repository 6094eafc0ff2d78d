"""Functions in all the versions that runs were judged by.

A run is judged, for ever, by the code of its time. Whoever changes a parser, the cleaning of a
text, the tokens that are compared, a check, or what chooses a template, leaves the function as it
is, writes the new one beside it, and raises `RULES_VERSION`. A run stores its version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

F = TypeVar("F")

# 1: runs of before `novelty.audit_floor`; `rouge_l` is 0, not NaN, where nothing is near.
# 2: runs of before the version was stored, and those of today.
RULES_VERSION = 2


class Versioned(Generic[F]):
    """A function in its versions.

    Args:
        first: as of version 1.
        *later: (version since which it counts, function), in rising order.
    """

    def __init__(self, first: F, *later: tuple[int, F]) -> None:
        self._versions: list[tuple[int, F]] = [(1, first), *later]

    def at(self, version: int) -> F:
        """Return the function by which runs of a version are judged."""
        return newest(self._versions, version)

    def changed(self, since: int, function: F) -> Versioned[F]:
        """Return it with one more version."""
        return Versioned(self._versions[0][1], *self._versions[1:], (since, function))


def newest(versions: Sequence[tuple[int, F]], version: int) -> F:
    """Return what counts at a version: of those since then or before, the last."""
    return [each for since, each in versions if since <= version][-1]
