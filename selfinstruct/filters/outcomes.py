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
ENGINE_ERROR = Rule(
    name="engine_error",
    of=Of.INSTANCE,
    when=When.READ,
    reason="engine_error",
    help="the request failed at every attempt; `selfinstruct complete` sends it again",
    details="the request for its classification or its instances failed. The instruction is "
    "`pending_instances`. A proposal that fails gives no candidate",
    since=3,
)
NO_INSTANCES = _last(
    name="no_instances",
    reason="no_instances",
    help="the instruction passed, but none of its instances did",
    details="it stays in the pool, and later instructions must differ from it",
)
PENDING_INSTANCES = _last(
    name="pending_instances",
    reason="pending_instances",
    help="the instruction passed, but its instances are not written yet",
    details="In a run that was judged again (`merge`, `audit whatif --out`), the cause is that the "
    "instruction was rejected before and passes now. In any other run, the cause is that the "
    "engine failed on its instances (`engine_error`). Restored instructions without "
    "instances count as pending too. `selfinstruct complete` writes the instances",
)
OVER_TARGET = _last(
    name="over_target",
    reason="over_target",
    help="good, but the target was already reached",
)

_own = partial(Rule, of=Of.INSTANCE, when=When.LAST)

NO_FINAL_ANSWER = _own(
    name="no_final_answer",
    reason="no_final_answer",
    help="an answer of `answer --votes` or `--rationale` has no final answer that can be read",
    details="with votes, none of the sampled answers has one. A completion that was cut off has "
    "none",
)
LOW_AGREEMENT = _own(
    name="low_agreement",
    reason="low_agreement",
    help="fewer of the sampled answers agree than `answer --min-agreement` asks for",
    details="`export --min-agreement` judges by another threshold",
)
NO_MATCH = _own(
    name="no_match",
    reason="no_match",
    help="the final answer of a rationale is not the known one (`answer --keep-if-match`)",
)

# Passed every rule on instructions, but has no valid instance: it is in the pool.
LACKS_INSTANCES = frozenset({NO_INSTANCES.reason, PENDING_INSTANCES.reason})
# Passed every rule, and its instances were requested; None means accepted.
ASKED_FOR_INSTANCES = frozenset({None, NO_INSTANCES.reason, OVER_TARGET.reason})
