"""Reasons that no check of a text gives: what became of a completion, or of a whole task."""

from __future__ import annotations

from functools import partial

from selfinstruct.filters.rule import Of, Rule, When

_unread = partial(
    Rule,
    name="parse_failure",
    when=When.READ,
    reason="parse_failure",
    help="the completion holds no instruction or no instance that can be read",
)
_last = partial(Rule, of=Of.INSTRUCTION, when=When.LAST)

PARSE_FAILURE = _unread(of=Of.INSTRUCTION)
INSTANCE_PARSE_FAILURE = _unread(of=Of.INSTANCE)
NO_INSTANCES = _last(
    name="no_instances",
    reason="no_instances",
    help="an instruction that passed, but none of its instances did",
    details="it stays in the pool that later ones must differ from",
)
PENDING_INSTANCES = _last(
    name="pending_instances",
    reason="pending_instances",
    help="passes when judged again; nobody asked for its instances yet",
    details="in a run that was judged again (`merge`, `audit whatif --out`): rejected where it was "
    "generated, it passes now. It stands in the pool like any that passed, and "
    "`selfinstruct complete` writes its instances",
)
OVER_TARGET = _last(
    name="over_target",
    reason="over_target",
    help="good, but the target was already reached",
)

# Passed every rule on instructions, and has no valid instance: it stands in the pool.
LACKS_INSTANCES = frozenset({NO_INSTANCES.reason, PENDING_INSTANCES.reason})
# Of what passed every rule, that for which instances were asked; None is accepted.
ASKED_FOR_INSTANCES = frozenset({None, NO_INSTANCES.reason, OVER_TARGET.reason})
