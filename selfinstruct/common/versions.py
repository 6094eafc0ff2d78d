"""Every version of the functions that decide verdicts.

A run always gets its verdicts by the code of its time. To change a parser, the cleaning of a text,
the tokens that are compared, a check, or the choice of a template: leave the function as it is,
write the new one beside it, and raise `RULES_VERSION`. A run stores its version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

F = TypeVar("F")

# 1: runs older than `novelty.audit_floor`; `rouge_l` is 0, not NaN, if nothing is near.
# 2: runs older than the stored version, and those that store 2.
# 3: parsers that read what models write, fewer false rejections, words of every language.
# 4: questions of three words, options and records in inputs, the output of a program.
# 5: tasks about the worked passages of a prompt.
# 6: a completion has at most so many candidates (verdicts/parse/many.py).
RULES_VERSION = 6
# Of what decides about self-chats alone (verdicts/chats.py); each commit of them stores its own.
CHATS_VERSION = 1
# Of what decides about revisions alone (verdicts/revisions.py), likewise.
REVISIONS_VERSION = 1


class Versioned(Generic[F]):
    """A function in its versions.

    Args:
        first: the function of version 1.
        *later: (first version, function), in rising order.
    """

    def __init__(self, first: F, *later: tuple[int, F]) -> None:
        self._versions: list[tuple[int, F]] = [(1, first), *later]

    def at(self, version: int) -> F:
        """Return the function that counts for runs of a version."""
        return newest(self._versions, version)

    def changed(self, since: int, function: F) -> Versioned[F]:
        """Return a copy with one more version."""
        return Versioned(self._versions[0][1], *self._versions[1:], (since, function))


def newest(versions: Sequence[tuple[int, F]], version: int) -> F:
    """Return the last of the (first version, value) pairs that counts at a version."""
    return [value for since, value in versions if since <= version][-1]
