"""The rules that version 6 added: a completion has at most so many candidates.

What follows the last of them is one candidate more, and rejected. A model that repeats itself for a
megabyte would otherwise fill the run with a hundred thousand rows.
"""

from __future__ import annotations

from functools import partial

from selfinstruct.filters.rule import Of, Rule, When

# Candidates of one completion that are read: far more than a prompt asks for, and few enough that a
# megabyte of them is judged in 0.2 s (docs/reliability.md).
MOST_CANDIDATES = 250

_rest = partial(Rule, when=When.TEXT, breaks=lambda facts, _: facts.is_rest, since=6)
TOO_MANY_ITEMS = _rest(
    name="too_many",
    of=Of.INSTRUCTION,
    section="rules",
    reason="too_many",
    help=f"all that follows the first {MOST_CANDIDATES} tasks of its completion, or the first "
    f"{2 * MOST_CANDIDATES} markers of inputs and outputs",
)
TOO_MANY_INSTANCES = _rest(name="too_many", of=Of.INSTANCE, section="instances", reason="too_many")
