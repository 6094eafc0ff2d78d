"""Rules on the text of an instruction: the paper's release, and what small models get wrong.

Each can be switched off in `rules`, for other languages. They are checked in the order of the list
at the end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache, partial
from typing import Annotated, Any

from pydantic import StringConstraints

from selfinstruct.common.fields import NonEmpty, semantic
from selfinstruct.common.scan import folded, has_any
from selfinstruct.filters import text as texts
from selfinstruct.filters.length_rules import LENGTH_RULES
from selfinstruct.filters.rule import Bound, InstructionFacts, Measure, Of, Rule, When, keys, switch

# The words of the paper's release (its `generate_instructions` filter): tasks that a text
# model cannot do, because they need eyes, ears, hands or a disk. (The release also has
# "go to", which rejects tasks about going to sleep; and it lacks photos.)
UNSUITABLE_KEYWORDS = [
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps"),
    *("draw", "plot", "video", "videos", "audio", "music", "flowchart", "diagram", "diagrams"),
    *("photo", "photos", "screenshot", "screenshots"),
]


def _is_truncated(facts: InstructionFacts, _: Any) -> bool:
    """Whether it is cut off, or ends on a comma, a colon or a word that needs another."""
    text = facts.text
    middle = text.endswith((",", ";", ":", " -", "(")) or texts.ends_dangling(text)
    return facts.truncated or middle


def _is_unsuitable(facts: InstructionFacts, limits: Any) -> bool:
    low = facts.text.casefold()
    words = limits.keywords
    has_word = may_have(facts.text, words) and _keyword_pattern(words).search(facts.text)
    starts = any(low.startswith(start.casefold()) for start in limits.forbidden_starts)
    return bool(has_word) or starts


def may_have(text: str, words: Collection[str]) -> bool:
    """Whether a text can have one of some words, in any case: what a pattern needs to match."""
    if not all(map(str.isascii, words)):
        return True
    low = folded(text)
    return has_any(low, map(str.lower, words))


@lru_cache(maxsize=8)
def _keyword_pattern(keywords: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(
        r"(?<!\w)(?:" + "|".join(map(re.escape, keywords)) + r")(?!\w)", re.IGNORECASE
    )


def _starts_with_punctuation(facts: InstructionFacts, _: Any) -> bool:
    return unicodedata.category(facts.text[0])[0] in "PS"


def _echoes(facts: InstructionFacts, _: Any) -> bool:
    folded = facts.text.casefold()
    if folded in facts.prompt_lines or "###" in facts.text:
        return True
    return bool(re.search(r"\b(?:task|input|output|label):", folded))


_STATEMENT = re.compile(
    r"^\W*(?:I|I['’]m|I['’]ve|I['’]ll|I['’]d|we|we['’]re|my|he|she|they|it['’]s)\s"
    r"(?!.*\b(?:need|want|wish|please|would like|looking for|help|like (?:you )?to|like a)\b)",
    re.IGNORECASE,
)
_NOUN_START = re.compile(r"^(?:the|a|an|there|these|those)\s", re.IGNORECASE)


def _is_statement(facts: InstructionFacts, _: Any) -> bool:
    """Whether it is one sentence that asks for nothing, such as “The sky is blue.”."""
    text = facts.text
    if "?" in text or re.search(r"[.!?;:]\s+\S", text):
        return False
    if re.search(r"\b(?:so|please|then)\b", text, re.IGNORECASE):
        return False
    return bool(_STATEMENT.match(text) or _NOUN_START.match(text))


_rule = partial(Rule, of=Of.INSTRUCTION, when=When.TEXT, section="rules")

INSTRUCTION_RULES = [
    _rule(
        name="truncated",
        reason="truncated",
        help="the text stops before its end (token limit, or an unfinished sentence)",
        limits=switch("truncated", "rule: cut off by the token limit, or unfinished"),
        breaks=_is_truncated,
        details="the last item of a completion that hit its token limit, or a text that ends on "
        "a comma, a colon or a word such as “the”",
    ),
    *LENGTH_RULES,
    _rule(
        name="keywords",
        reason="unsuitable_keyword",
        help="asks for what a text model cannot see or do (image, file, plot…)",
        limits=keys(
            keywords=(
                tuple[NonEmpty, ...],
                semantic(
                    tuple(UNSUITABLE_KEYWORDS),
                    "words for what a text model cannot handle (images, sound, files); empty: off",
                ),
            ),
            forbidden_starts=(
                tuple[NonEmpty, ...],
                semantic(
                    ("Write a program",),
                    "an instruction that starts with one of these is rejected as "
                    "`unsuitable_keyword` (as in the paper's code)",
                ),
            ),
        ),
        breaks=_is_unsuitable,
    ),
    _rule(
        name="punctuation_start",
        reason="punctuation_start",
        help="the instruction starts with a punctuation mark",
        limits=switch("punctuation_start", "rule: starts with punctuation"),
        breaks=_starts_with_punctuation,
    ),
    _rule(
        name="script",
        reason="wrong_script",
        help="too few letters belong to the script in `rules.script`",
        limits=keys(
            script=(
                Annotated[str, StringConstraints(to_upper=True)] | None,
                semantic(
                    "LATIN",
                    "script of the letters, by its Unicode name (LATIN, CYRILLIC, CJK…); null: off",
                ),
            ),
            script_share=(
                float,
                semantic(0.9, "minimum share of letters in `rules.script`", ge=0, le=1),
            ),
        ),
        measure=Measure(
            lambda facts, limits: texts.script_share(facts.text, limits.script),
            Bound.AT_LEAST,
            lambda _, limits: limits.script_share,
        ),
        details="fewer than the share `rules.script_share` of the letters (default: nine in ten)",
    ),
    _rule(
        name="prompt_echo",
        reason="prompt_echo",
        help="repeats the prompt, its markers or (in an instance) the instruction",
        limits=switch("prompt_echo", "rule: repeats the proposal prompt"),
        breaks=_echoes,
        details="a line of the prompt itself, `###`, `Task:` and the like",
    ),
    _rule(
        name="placeholder",
        reason="placeholder",
        help="contains placeholder text such as `[name]` or `<none>`",
        limits=switch("placeholder", "rule: placeholder text"),
        breaks=lambda facts, _: texts.has_placeholder(facts.text),
    ),
    _rule(
        name="refusal",
        reason="refusal",
        help="the model declines, or speaks of itself as a language model",
        limits=switch("refusal", "rule: refusals (English)"),
        breaks=lambda facts, _: texts.is_refusal(facts.text),
    ),
    _rule(
        name="not_a_task",
        reason="not_a_task",
        help="a single statement, such as “I'm going to the party.”, that asks for nothing",
        limits=switch("not_a_task", "rule: statements that ask for nothing (English)"),
        breaks=_is_statement,
    ),
    _rule(
        name="chatty_preamble",
        reason="chatty_preamble",
        help="is only chat such as “Sure, here is…”, or opens with one of the `opening_phrases` "
        "(before rules version 3, also if it only opens with such chat)",
        limits=switch("chatty_preamble", "rule: chatty openings (English)"),
        breaks=lambda facts, _: texts.is_chatty(facts.text),
    ),
    _rule(
        name="max_repetition",
        reason="repetitive",
        help="the text repeats itself: too many of its word sequences occur more than once",
        limits=keys(
            max_repetition=(
                float | None,
                semantic(
                    0.2,
                    "rule: largest share of the words that may lie in repeated word sequences; "
                    "null: off",
                    ge=0,
                    le=1,
                ),
            )
        ),
        measure=Measure(
            lambda facts, _: texts.repetition(facts.text),
            Bound.AT_MOST,
            lambda _, limits: limits.max_repetition,
        ),
        details="the share of word trigrams that occurred before, in texts of 12 words or more",
    ),
]
