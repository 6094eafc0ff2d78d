"""As it was: `selfinstruct/filters/text.py`."""

from __future__ import annotations

import re
import unicodedata

_PLACEHOLDER_WORDS = (
    r"(?:your|insert|enter|add|any|some|the|recipient|customer|company|product|user|client|"
    r"name|first|last|full|city|country|state|address|date|time|day|month|year|number|amount|"
    r"title|topic|subject|email|phone|noinput|no input|none|input|output|text|sentence|word|"
    r"placeholder|blank|link|url|image|price|location|position|job|school|friend)"
)
_PLACEHOLDER = re.compile(
    rf"(?<![\w\])])\[(?:{_PLACEHOLDER_WORDS})(?:['’]s)?(?:[ _/-][\w'’ _/-]*)?\]"
    r"|\{\{[^{}\n]*\}\}|\bX{4,}\b|_{4,}|\blorem ipsum\b",
    re.IGNORECASE,
)
_TAG = re.compile(rf"<(?:{_PLACEHOLDER_WORDS})(?:[ _/-][\w'’ _/-]*)?>", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\bas an? (?:ai|artificial intelligence|language model|large language model)\b"
    r"|\ban ai (?:assistant|designed|model|language model)\b"
    r"|\bi(?:'|’)?m (?:just |only )?an? (?:ai|language model|virtual assistant)\b"
    r"|\bi am (?:just |only )?an? (?:ai|language model|virtual assistant)\b"
    r"|^\W*(?:i(?:'|’)m |i am |we are )?(?:sorry|afraid),? (?:but\b|i (?:can|do|am|don)"
    r"|that i can|for (?:any|the) (?:confusion|inconvenience|mis))|^\W*sorry, (?:that|this|it)\b"
    r"|\bi(?:'|’)m (?:not able|unable) to\b|\bmy previous responses?\b"
    r"|\bi (?:cannot|can(?:'|’)t|can not|am unable to|am not able to|won(?:'|’)t) "
    r"(?:help|assist|provide|fulfill|comply|answer|do that|access|browse|create|generate)\b"
    r"|\byour (?:helpful |friendly )?ai assistant\b|\bi(?:'|’)m here to (?:help|assist)\b",
    re.IGNORECASE,
)
_CHATTY = re.compile(
    r"^\W*(?:sure(?:ly)?(?:[,!.]| thing)|of course[,!.]|certainly[,!.]|absolutely[,!.]"
    r"|okay[,!.]|great (?:question|choice|idea)|i(?:'|’)?d be (?:happy|glad|delighted)"
    r"|i(?:'|’)?ll be (?:happy|glad)|i would be (?:happy|glad)|i can (?:certainly|help)"
    r"|awesome!|hello!|hi there|hello there"
    r"|here(?:'|’)?s (?:a|an|the|my|your|one|some|how)\b|here (?:is|are) (?:a|an|the|my|your|some|"
    r"one|two|three|four|five|six|seven|eight|nine|ten|\d+)\b)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_SENTENCE_END = tuple(".!?…。！？؟।\"'”’»)]}`*")
_DANGLING = re.compile(r"\b(?:an|the|and|or|your|my|their|its)$|\w\w-$", re.IGNORECASE)
_LONGEST_DANGLING = 8  # characters, with a line break behind
_LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)]|\|)\s*")
_CODE = re.compile(
    r"```|^[^\S\n]*+(?:def |class |import |from \w+ import|return\b|#include|<\w+)"
    r"|^[^\S\n]*+(?:SELECT|FROM|WHERE|GROUP BY|ORDER BY)\b"
    r"|[{};][^\S\n]*+$|^ {4}\S",
    re.MULTILINE,
)


def has_placeholder(text: str) -> bool:
    """Whether the text leaves a gap for its reader: `[name]`, `<none>`, `____`, `{{x}}`."""
    return bool(_PLACEHOLDER.search(text)) or any(map(_has_gap_tag, text.split("\n")))


def _has_gap_tag(line: str) -> bool:
    """Whether a tag such as `<name>` stands in a line and nothing like `</…` follows it."""
    closing = line.rfind("</")
    return any(tag.end() > closing for tag in _TAG.finditer(line))


def is_refusal(text: str) -> bool:
    """Whether the model declines, or speaks of itself as a language model (English)."""
    return bool(_REFUSAL.search(text))


def is_chatty(text: str) -> bool:
    """Whether the text opens with chat to the user instead of the content (English)."""
    return bool(_CHATTY.match(text))


def repetition(text: str) -> float:
    """Return the share of word trigrams that occurred before in the text, in [0, 1].

    Texts of fewer than 12 words give 0: a repeat in so short a text means nothing.
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    if len(words) < 12:
        return 0.0
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams)


def is_blank(text: str) -> bool:
    """Whether the text is only spaces, dashes, brackets and punctuation."""
    return all(char.isspace() or unicodedata.category(char)[0] == "P" for char in text)


def looks_like_code(text: str) -> bool:
    return bool(_CODE.search(text))


def ends_dangling(text: str) -> bool:
    """Whether the last word needs another after it (English)."""
    return bool(_DANGLING.search(text, max(0, len(text) - _LONGEST_DANGLING)))


def ends_unfinished(text: str) -> bool:
    """Whether prose of more than one sentence or line stops before the end of the last one.

    A single short phrase (a title, a label, a number), code and list items need no full stop. A
    text that ends in a comma or a dangling word is unfinished.
    """
    text = text.rstrip()
    if not text or text.endswith(_SENTENCE_END):
        return False
    if looks_like_code(text):
        return False
    if text.endswith((",", ";", " -", "–", "—", "(", "[", "{")) or ends_dangling(text):
        return True
    last_line = text.splitlines()[-1]
    if _LIST_ITEM.match(last_line):
        return False
    lines = [line for line in text.splitlines() if line.strip()]
    sentences = re.split(r"[.!?]\s+", text)
    return len(sentences) > 1 and len(lines) <= 2 and len(_WORD.findall(sentences[-1])) > 2
