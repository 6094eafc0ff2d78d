"""Rules on the length of an instruction; from version 3 on, in any script."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from selfinstruct.common.fields import semantic
from selfinstruct.filters.length import WORDS
from selfinstruct.filters.rule import Bound, Measure, Of, Rule, When, keys

_rule = partial(Rule, of=Of.INSTRUCTION, when=When.TEXT, section="rules")
_min_words = partial(
    _rule,
    name="min_words",
    reason="too_short",
    help="fewer words than `min_words`",
    limits=keys(
        min_words=(int | None, semantic(4, "minimum words (the paper: above 3); null: off", ge=0))
    ),
)
_max_words = partial(
    _rule,
    name="max_words",
    reason="too_long",
    help="more words than `max_words`",
    limits=keys(
        max_words=(int | None, semantic(150, "maximum words (the paper: 150); null: off", ge=1))
    ),
)
_UNIT = "words between spaces; each character of a script without spaces (Chinese, Thai) is one"


def _at_least(count: Callable[[str], int]) -> Measure:
    return Measure(
        lambda facts, _: count(facts.text), Bound.AT_LEAST, lambda _, limits: limits.min_words
    )


def _at_most(count: Callable[[str], int]) -> Measure:
    return Measure(
        lambda facts, _: count(facts.text), Bound.AT_MOST, lambda _, limits: limits.max_words
    )


LENGTH_RULES = [
    _min_words(measure=_at_least(WORDS.at(1))),
    _min_words(measure=_at_least(WORDS.at(3)), since=3, details=_UNIT),
    _max_words(measure=_at_most(WORDS.at(1))),
    _max_words(measure=_at_most(WORDS.at(3)), since=3, details=_UNIT),
]
