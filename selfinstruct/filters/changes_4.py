"""The rules on text that version 4 of the rules changed: less of what people write is rejected.

Each record stands beside the older ones of its name and has the same keys; docs/rules.md has the
measured shares.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from selfinstruct.common.fields import Section
from selfinstruct.filters.changes import CHANGED_INSTANCE_RULES
from selfinstruct.filters.echo import echoes_frame, echoes_outside_code, repeats_instruction
from selfinstruct.filters.length import WORDS
from selfinstruct.filters.length_rules import LENGTH_RULES
from selfinstruct.filters.questions import is_short_question
from selfinstruct.filters.repetition import repeated_share, without_parallel_lines
from selfinstruct.filters.rule import Bound, InstanceFacts, InstructionFacts, Measure, Rule

# A question may have a word less than `min_words`, and at least so many.
_LEAST_OF_A_QUESTION = 3


def _changed(rules: list[Rule], name: str, **changes: Any) -> Rule:
    """Return the newest rule of a name as version 4 has it."""
    old = [rule for rule in rules if rule.name == name][-1]
    return replace(old, since=4, **changes)


def _least_words(facts: InstructionFacts, limits: Any) -> int | None:
    least: int | None = limits.min_words
    if least is None or least <= _LEAST_OF_A_QUESTION or not is_short_question(facts.text):
        return least
    return least - 1


INSTRUCTION_CHANGES_4 = [
    _changed(
        LENGTH_RULES,
        "min_words",
        measure=Measure(lambda facts, _: WORDS.at(3)(facts.text), Bound.AT_LEAST, _least_words),
        details="words between spaces; each character of a script without spaces (Chinese, Thai) "
        "is one. A question that names its subject, such as “Is aspirin safe?”, may have one word "
        "fewer, but at least three",
    ),
]


def _echoes(facts: InstanceFacts, _: Section) -> bool:
    if echoes_frame(facts.input, facts.markers) or echoes_outside_code(facts.output, facts.markers):
        return True
    return repeats_instruction(facts.instruction, facts.input, facts.output)


def _repetition(facts: InstanceFacts, _: Any) -> float:
    given = without_parallel_lines(facts.input)
    return max(repeated_share(given), repeated_share(facts.output))


INSTANCE_CHANGES_4 = [
    _changed(
        CHANGED_INSTANCE_RULES,
        "prompt_echo",
        breaks=_echoes,
        details="the instruction instead of an answer, or one of our frames and markers at the "
        "start of a line; code, text after code, and examples do not count",
    ),
    _changed(
        CHANGED_INSTANCE_RULES,
        "max_repetition",
        measure=Measure(_repetition, Bound.AT_MOST, lambda _, limits: limits.max_repetition),
        details="lists of options or records in an input may be similar, if no two are the same",
    ),
]
