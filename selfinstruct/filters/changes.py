"""The rules on text that version 3 of the rules changed or added.

They reject what the rules of version 2 were made for, and less of what people write: docs/rules.md
has the measured shares. Each record stands beside the older one of its name and has the same keys.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from functools import partial
from typing import Any

from selfinstruct.common.fields import Section
from selfinstruct.filters.answers import holds_answer
from selfinstruct.filters.code import is_code
from selfinstruct.filters.copies import copies_shown
from selfinstruct.filters.echo import echoes_frame, echoes_proposal, repeats_instruction
from selfinstruct.filters.endings import ends_open, is_unfinished
from selfinstruct.filters.instance_rules import INSTANCE_RULES
from selfinstruct.filters.instruction_rules import INSTRUCTION_RULES
from selfinstruct.filters.openings import is_only_opening
from selfinstruct.filters.placeholders import leaves_gaps
from selfinstruct.filters.pointing import (
    announces_input,
    announces_output,
    lacks_what_it_points_to,
)
from selfinstruct.filters.refusals import declines
from selfinstruct.filters.repetition import repeated_share
from selfinstruct.filters.rule import (
    Bound,
    InstanceFacts,
    InstructionFacts,
    Measure,
    Of,
    Rule,
    When,
    switch,
)
from selfinstruct.filters.statements import asks_nothing
from selfinstruct.filters.unsuitable import needs_senses

_CODE = re.compile(
    r"\b(?:code|snippets?|scripts?|programs?|functions?|quer(?:y|ies))\b", re.IGNORECASE
)
# Words of an input that is more than a label for what should follow.
_WHOLE_INPUT = 9
# Where an input refuses, it does so at once; a contract may say later what nobody can do.
_OPENING = 160
_CLOSED_BY = {'"': '"', "“": "”", "'": "'", "‘": "’", "(": ")", "[": "]", "«": "»", "„": "“"}


def _is_truncated(facts: InstructionFacts, _: Any) -> bool:
    text = facts.text
    if facts.truncated or text.endswith((",", ";", " -", "(")) or ends_open(text):
        return True
    return text.endswith(":") and not (announces_input(text) or announces_output(text))


def _is_unsuitable(facts: InstructionFacts, limits: Any) -> bool:
    folded = facts.text.casefold()
    starts = any(folded.startswith(start.casefold()) for start in limits.forbidden_starts)
    return starts or needs_senses(facts.text, limits.keywords)


def _starts_with_punctuation(facts: InstructionFacts, _: Any) -> bool:
    """Whether it starts with a mark that neither opens a quotation nor is part of a number."""
    first = facts.text[0]
    if unicodedata.category(first)[0] not in "PS" or first in "¿¡":
        return False
    if first in _CLOSED_BY:
        return _CLOSED_BY[first] not in facts.text[1:]
    is_amount = unicodedata.category(first) == "Sc" and facts.text[1:2].isdigit()
    return not is_amount


def _has_gap(facts: InstructionFacts, _: Any) -> bool:
    return leaves_gaps(facts.text, facts.text, blanks=False)


def _changed(rules: list[Rule], name: str, **changes: Any) -> Rule:
    """Return the rule of a name as version 3 has it."""
    old = next(rule for rule in rules if rule.name == name)
    return replace(old, since=3, **changes)


_instruction = partial(_changed, INSTRUCTION_RULES)
_instance = partial(_changed, INSTANCE_RULES)

COPIES_PROMPT = Rule(
    name="copies_prompt",
    of=Of.INSTRUCTION,
    when=When.TEXT,
    reason="copies_prompt",
    help="repeats or contains a task that its prompt showed, or is about a worked passage",
    limits=switch("copies_prompt", "rule: repeats a task that its prompt showed", before=False),
    section="rules",
    breaks=lambda facts, _: copies_shown(facts.text, facts.shown),
    details="word for word; case and punctuation are ignored",
    since=3,
)
HOLDS_KNOWN = Rule(
    name="holds_known",
    of=Of.INSTRUCTION,
    when=When.NOVELTY,
    reason="holds_known",
    help="contains a whole instruction of the pool that has 8 words or more",
    limits=switch(
        "holds_known", "rule: contains a whole instruction of an earlier task", before=False
    ),
    section="rules",
    breaks=lambda facts, _: facts.held(facts.text) is not None,
    details="word for word; a match after a colon or in quotation marks does not count, since it "
    "may be the input",
    since=3,
)
HOLDS_ANSWER = Rule(
    name="holds_answer",
    of=Of.INSTRUCTION,
    when=When.TEXT,
    reason="holds_answer",
    help="the instruction goes on to answer itself",
    limits=switch("holds_answer", "rule: contains its own answer (English)", before=False),
    section="rules",
    breaks=lambda facts, _: holds_answer(facts.text),
    details="such as “What is 2 + 2? 4” or “Translate 'dog' into French. Answer: chien”",
    since=3,
)

CHANGED_INSTRUCTION_RULES = [
    _instruction(
        "truncated",
        breaks=_is_truncated,
        details="the last item of a completion that hit its token limit, or a text that ends with "
        "a comma, with a word such as “the”, or with a colon that introduces no input",
    ),
    _instruction(
        "keywords",
        breaks=_is_unsuitable,
        details="a shipped keyword counts only if the task works on the thing or makes it (“draw a "
        "map”, “the attached file”, but not “a mind map” or “24 photos”); a keyword of your own "
        "counts anywhere",
    ),
    _instruction(
        "punctuation_start",
        breaks=_starts_with_punctuation,
        details="allowed are a quotation mark or bracket that is closed later, and an amount such "
        "as “$5”",
    ),
    _instruction(
        "prompt_echo",
        breaks=lambda facts, _: echoes_proposal(facts.text, facts.prompt_lines),
        details="a line of the prompt itself, a frame such as `### Task` or `Task:`, or a marker "
        "such as `Input:` that belongs to no example",
    ),
    _instruction(
        "placeholder",
        breaks=_has_gap,
        details="unless the task is about filling gaps or about a template",
    ),
    _instruction("refusal", breaks=lambda facts, _: declines(facts.text)),
    _instruction("not_a_task", breaks=lambda facts, _: asks_nothing(facts.text)),
    _instruction(
        "chatty_preamble",
        breaks=lambda facts, _: is_only_opening(facts.text),
        help="consists only of chat such as “Sure, here is…”; nothing follows",
    ),
    _instruction(
        "max_repetition",
        help="the text repeats itself: too many of its word sequences occurred before in it",
        measure=Measure(
            lambda facts, _: repeated_share(facts.text),
            Bound.AT_MOST,
            lambda _, limits: limits.max_repetition,
        ),
        details="the share of sequences of 8 words that occurred before, in prose of 12 words or "
        "more",
    ),
]


def _ends_with_colon(facts: InstanceFacts, _: Any) -> bool:
    """Whether the text that a colon announces is missing; a longer input may end so."""
    if facts.output.endswith(":") or not facts.input.endswith(":"):
        return facts.output.endswith(":")
    return len(facts.input.split()) < _WHOLE_INPUT and "\n" not in facts.input.strip()


def _echoes(facts: InstanceFacts, _: Any) -> bool:
    markers = facts.markers
    if echoes_frame(facts.input, markers) or echoes_frame(facts.output, markers):
        return True
    return repeats_instruction(facts.instruction, facts.input, facts.output)


def _leaves_gaps(facts: InstanceFacts, _: Any) -> bool:
    task = facts.instruction
    return leaves_gaps(facts.input, task, blanks=False) or leaves_gaps(facts.output, task)


def _declines(facts: InstanceFacts, _: Any) -> bool:
    task = facts.instruction
    return declines(facts.output, task) or declines(facts.input[:_OPENING], task)


def _is_cut(facts: InstanceFacts, _: Section) -> bool:
    return facts.truncated or is_unfinished(facts.output)


def _lacks_input(facts: InstanceFacts, _: Any) -> bool:
    """Whether the input is missing; of a task that is answered by a new program, nothing is."""
    if facts.input or not lacks_what_it_points_to(facts.instruction):
        return False
    return not is_code(facts.output) or bool(_CODE.search(facts.instruction))


def _repetition(facts: InstanceFacts, _: Any) -> float:
    return max(repeated_share(facts.input), repeated_share(facts.output))


CHANGED_INSTANCE_RULES = [
    _instance("truncated", breaks=_is_cut),
    _instance(
        "ends_with_colon",
        breaks=_ends_with_colon,
        details="an input of 9 words or more, or of several lines, may end with a colon",
    ),
    _instance(
        "missing_input",
        breaks=_lacks_input,
        details="such as “the sentence below”; a task that is answered with a new program needs no "
        "input",
    ),
    _instance(
        "prompt_echo",
        breaks=_echoes,
        details="our own frames and markers at the start of a line, outside code and examples, or "
        "the instruction instead of an answer",
    ),
    _instance(
        "placeholder",
        breaks=_leaves_gaps,
        details="instead of the answer, or more than one for every 12 words; so a letter may have "
        "a `[name]`",
    ),
    _instance("refusal", breaks=_declines),
    _instance(
        "chatty_preamble",
        breaks=lambda facts, _: is_only_opening(facts.output),
        help="consists only of chat such as “Sure, here is…”; nothing follows",
    ),
    _instance(
        "max_repetition",
        help="the text repeats itself: too many of its word sequences occurred before in it",
        measure=Measure(_repetition, Bound.AT_MOST, lambda _, limits: limits.max_repetition),
    ),
]
