"""Reasons that come from no check of a text: the outcome of a completion, or of a whole task."""

from __future__ import annotations

from functools import partial

from selfinstruct.filters.rule import Of, Rule, When

_unread = partial(
    Rule,
    name="parse_failure",
    when=When.READ,
    reason="parse_failure",
    help="the completion contains no instruction or no instance that can be parsed",
)
_last = partial(Rule, of=Of.INSTRUCTION, when=When.LAST)

PARSE_FAILURE = _unread(of=Of.INSTRUCTION)
INSTANCE_PARSE_FAILURE = _unread(of=Of.INSTANCE)
NO_INSTANCES = _last(
    name="no_instances",
    reason="no_instances",
    help="the instruction passed, but none of its instances did",
    details="it stays in the pool, and later instructions must differ from it",
)
PENDING_INSTANCES = _last(
    name="pending_instances",
    reason="pending_instances",
    help="passes when judged again; its instances are not written yet",
    details="only in a run that was judged again (`merge`, `audit whatif --out`): it was rejected "
    "in its own run, and passes now. It is in the pool like every instruction that passed, and "
    "`selfinstruct complete` writes its instances",
)
OVER_TARGET = _last(
    name="over_target",
    reason="over_target",
    help="good, but the target was already reached",
)

# Passed every rule on instructions, but has no valid instance: it is in the pool.
LACKS_INSTANCES = frozenset({NO_INSTANCES.reason, PENDING_INSTANCES.reason})
# Passed every rule, and its instances were requested; None means accepted.
ASKED_FOR_INSTANCES = frozenset({None, NO_INSTANCES.reason, OVER_TARGET.reason})
