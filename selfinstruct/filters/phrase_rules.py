"""Rules that look for phrases of the config: what the English rules do, for other languages.

They are off unless phrases are given; the files of `prompts/languages` give those of a language.
"""

from __future__ import annotations

from typing import Any

from selfinstruct.common.fields import NonEmpty, Section, semantic
from selfinstruct.filters.phrases import holds_phrase, starts_with_phrase
from selfinstruct.filters.points import points_to_given
from selfinstruct.filters.rule import Of, Rule, When, keys


def _phrases(name: str, description: str) -> type[Section]:
    text = f"{description}. Any script; in a script with spaces, only whole words match"
    return keys(**{name: (tuple[NonEmpty, ...], semantic((), text))})


_REFUSALS = _phrases("refusal_phrases", "rule: phrases with which a model refuses")
_OPENINGS = _phrases("opening_phrases", "rule: phrases with which a chatty text opens")


def _lacks_input(facts: Any, limits: Any) -> bool:
    return not facts.input and points_to_given(facts.instruction, limits.input_phrases)


def _declines(facts: Any, limits: Any) -> bool:
    texts = (facts.output, facts.input)
    return any(holds_phrase(text, limits.refusal_phrases) for text in texts)


PHRASE_INSTRUCTION_RULES = [
    Rule(
        name="unsuitable_phrases",
        of=Of.INSTRUCTION,
        when=When.TEXT,
        reason="unsuitable_keyword",
        limits=_phrases(
            "unsuitable_phrases", "rule: phrases for what a text model cannot see or do"
        ),
        section="rules",
        breaks=lambda facts, limits: holds_phrase(facts.text, limits.unsuitable_phrases),
        since=3,
    ),
    Rule(
        name="refusal_phrases",
        of=Of.INSTRUCTION,
        when=When.TEXT,
        reason="refusal",
        limits=_REFUSALS,
        section="rules",
        breaks=lambda facts, limits: holds_phrase(facts.text, limits.refusal_phrases),
        since=3,
    ),
    Rule(
        name="opening_phrases",
        of=Of.INSTRUCTION,
        when=When.TEXT,
        reason="chatty_preamble",
        help="opens with a phrase of `opening_phrases`",
        limits=_OPENINGS,
        section="rules",
        breaks=lambda facts, limits: starts_with_phrase(facts.text, limits.opening_phrases),
        since=3,
    ),
]
PHRASE_INSTANCE_RULES = [
    Rule(
        name="input_phrases",
        of=Of.INSTANCE,
        when=When.TEXT,
        reason="missing_input",
        limits=_phrases(
            "input_phrases",
            "rule: phrases that refer to an input. They replace the English ones, here and in the "
            "choice of the template",
        ),
        section="instances",
        breaks=_lacks_input,
        since=3,
    ),
    Rule(
        name="refusal_phrases",
        of=Of.INSTANCE,
        when=When.TEXT,
        reason="refusal",
        limits=_REFUSALS,
        section="instances",
        breaks=_declines,
        since=3,
    ),
    Rule(
        name="opening_phrases",
        of=Of.INSTANCE,
        when=When.TEXT,
        reason="chatty_preamble",
        help="opens with a phrase of `opening_phrases`",
        limits=_OPENINGS,
        section="instances",
        breaks=lambda facts, limits: starts_with_phrase(facts.output, limits.opening_phrases),
        since=3,
    ),
]
