"""Rules on instructions: the paper's release, and what small models get wrong.

Every rule can be switched off in `rules`, so that other languages can be generated. The
first that fails gives the reason.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from selfinstruct.config import RulesConfig
from selfinstruct.filters import text as texts
from selfinstruct.records import ParsedInstruction, Reason

# What a text refers to by pointing: it must then be in the input.
_GIVEN_THING = (
    r"(?:sentences?|texts?|paragraphs?|passages?|words?|lists?|numbers?|phrases?|emails?|"
    r"messages?|reviews?|statements?|notes?|code|snippets?|tables?|data|recipes?|poems?|"
    r"items?|stor(?:y|ies)|quotes?|headlines?|conversations?|dialogues?|equations?|functions?)"
)
_POINTS = re.compile(
    # the given sentence, the following, given a list, the text below
    r"\bthe (?:\w+ )?(?:given|following|provided|attached|above)\b"
    rf"|\b(?:given|following) (?:an? |the |two |three |some )?(?:\w+ )?{_GIVEN_THING}\b"
    r"|\b(?:given|provided|shown)? ?below\b(?! (?:zero|freezing|average|sea|ground|the |\d))"
    # this sentence, the input; rewrite it; summarize the text in one sentence
    rf"|\b(?:this|these|the next) (?:\w+ )?{_GIVEN_THING}\b|\bthe input\b"
    r"|^(?!(?:is|was|are|were|do|does|did|has|have|had|can|could|will|would|should|may|might|how|"
    r"why|what|when|where|who|if)\b)\w+ (?:it|this|that|them|these|those)\b"
    r"(?! (?:is|are|was|you|we|can|makes?|\w+ of)\b)"
    rf"|^(?:\w+ ){{1,6}}the (?:\w+ )?{_GIVEN_THING}"
    r"(?: of (?:numbers|words|items|names|ingredients))?"
    r"(?=$|[.,;:?!]| (?:in|into|to|so|as|and|using|without|with|by|for x)\b"
    r"(?! (?:your|my|which)\b))",
    re.IGNORECASE,
)
_QUOTED_OR_SHOWN = re.compile(r"[\"“”`]|:\s*\S|\[[^\]]+\]|\{[^}]+\}")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a text fails, with the configured threshold where there is one."""

    reason: Reason
    threshold: float | None = None


def points_to_input(instruction: str) -> bool:
    """Whether the instruction speaks of something given that it does not itself hold (English)."""
    return bool(_POINTS.search(instruction)) and not _QUOTED_OR_SHOWN.search(instruction)


def check_instruction(
    parsed: ParsedInstruction, rules: RulesConfig, prompt_lines: frozenset[str]
) -> Failure | None:
    """Return the first rule that the instruction breaks, or None.

    Args:
        parsed: the candidate.
        rules: which rules are on, and their limits.
        prompt_lines: lines of the proposal template, casefolded: its own words.
    """
    text = parsed.text
    if rules.truncated and (parsed.truncated or _unfinished(text)):
        return Failure(Reason.TRUNCATED)
    words = texts.word_count(text)
    if rules.min_words is not None and words < rules.min_words:
        return Failure(Reason.TOO_SHORT, rules.min_words)
    if rules.max_words is not None and words > rules.max_words:
        return Failure(Reason.TOO_LONG, rules.max_words)
    if _has_keyword(text, rules.keywords) or _starts_with(text, rules.forbidden_starts):
        return Failure(Reason.UNSUITABLE_KEYWORD)
    if rules.punctuation_start and unicodedata.category(text[0])[0] in "PS":
        return Failure(Reason.PUNCTUATION_START)
    if rules.script is not None and texts.script_share(text, rules.script) < 0.9:
        return Failure(Reason.WRONG_SCRIPT, 0.9)
    if rules.prompt_echo and _echoes(text, prompt_lines):
        return Failure(Reason.PROMPT_ECHO)
    if rules.placeholder and texts.has_placeholder(text):
        return Failure(Reason.PLACEHOLDER)
    if rules.refusal and texts.is_refusal(text):
        return Failure(Reason.REFUSAL)
    if rules.not_a_task and _is_statement(text):
        return Failure(Reason.NOT_A_TASK)
    if rules.chatty_preamble and texts.is_chatty(text):
        return Failure(Reason.CHATTY_PREAMBLE)
    if rules.max_repetition is not None and texts.repetition(text) > rules.max_repetition:
        return Failure(Reason.REPETITIVE, rules.max_repetition)
    return None


def _unfinished(text: str) -> bool:
    """An instruction ends in the middle: on a comma, a colon, or a word that needs another."""
    return text.endswith((",", ";", ":", " -", "(")) or texts.ends_dangling(text)


_STATEMENT = re.compile(
    r"^\W*(?:I|I['’]m|I['’]ve|I['’]ll|I['’]d|we|we['’]re|my|he|she|they|it['’]s)\s"
    r"(?!.*\b(?:need|want|wish|please|would like|looking for|help|like (?:you )?to|like a)\b)",
    re.IGNORECASE,
)


_NOUN_START = re.compile(r"^(?:the|a|an|there|these|those)\s", re.IGNORECASE)


def _is_statement(text: str) -> bool:
    """Whether it is one sentence that asks for nothing, such as “The sky is blue.”."""
    if "?" in text or re.search(r"[.!?;:]\s+\S", text):
        return False
    if re.search(r"\b(?:so|please|then)\b", text, re.IGNORECASE):
        return False
    return bool(_STATEMENT.match(text) or _NOUN_START.match(text))


@lru_cache(maxsize=8)
def _keyword_pattern(keywords: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(
        r"(?<!\w)(?:" + "|".join(map(re.escape, keywords)) + r")(?!\w)", re.IGNORECASE
    )


def _has_keyword(text: str, keywords: tuple[str, ...]) -> bool:
    return bool(keywords) and bool(_keyword_pattern(keywords).search(text))


def _starts_with(text: str, starts: tuple[str, ...]) -> bool:
    folded = text.casefold()
    return any(folded.startswith(start.casefold()) for start in starts)


def _echoes(text: str, prompt_lines: frozenset[str]) -> bool:
    folded = text.casefold()
    if folded in prompt_lines or "###" in text:
        return True
    return bool(re.search(r"\b(?:task|input|output|label):", folded))
