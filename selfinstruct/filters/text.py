"""Properties of a text that the rules on instructions and on instances share.

Runs that exist were judged by these functions. Whoever changes one writes the new one beside it,
and a new record of each rule that uses it (rule.py, `since`).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from selfinstruct.common.scan import (
    all_of,
    ascii_words,
    folded,
    has_any,
    has_lines,
    last,
    last_line,
)

# Words that a model writes in brackets when it leaves the content to the reader. Plain
# bracketed text such as [1, 2] or <b> does not match: code and data are full of it.
_PLACEHOLDER_WORDS = (
    r"(?:your|insert|enter|add|any|some|the|recipient|customer|company|product|user|client|"
    r"name|first|last|full|city|country|state|address|date|time|day|month|year|number|amount|"
    r"title|topic|subject|email|phone|noinput|no input|none|input|output|text|sentence|word|"
    r"placeholder|blank|link|url|image|price|location|position|job|school|friend)"
)
_BRACKETED = re.compile(
    rf"\[(?<![\w\])]\[)(?:{_PLACEHOLDER_WORDS})(?:['’]s)?(?:[ _/-][\w'’ _/-]*)?\]"
)
_BRACES = re.compile(r"\{\{[^{}\n]*\}\}")
_CROSSES = re.compile(r"\bX{4,}\b", re.IGNORECASE)
_LOREM = re.compile(r"\blorem ipsum\b", re.IGNORECASE)
_TAG = re.compile(rf"<(?:{_PLACEHOLDER_WORDS})(?:[ _/-][\w'’ _/-]*)?>", re.IGNORECASE)
# Patterns of a text in lower case (`folded`). Each part starts with a letter, so it is tried only
# where that stands.
_REFUSAL = re.compile(
    r"a(?<!\wa)(?:s an? (?:ai|artificial intelligence|language model|large language model)"
    r"|n ai (?:assistant|designed|model|language model))\b"
    r"|i(?<!\wi)(?:(?:['’]?m| am) (?:just |only )?an? (?:ai|language model|virtual assistant)"
    r"|['’]m (?:not able|unable) to|['’]m here to (?:help|assist)"
    r"| (?:cannot|can['’]t|can not|am unable to|am not able to|won['’]t) "
    r"(?:help|assist|provide|fulfill|comply|answer|do that|access|browse|create|generate))\b"
    r"|m(?<!\wm)y previous responses?\b|y(?<!\wy)our (?:helpful |friendly )?ai assistant\b"
)
_SORRY = re.compile(
    r"\W*+(?:(?:i['’]m |i am |we are )?(?:sorry|afraid),? (?:but\b|i (?:can|do|am|don)"
    r"|that i can|for (?:any|the) (?:confusion|inconvenience|mis))|sorry, (?:that|this|it)\b)"
)
# No text without one of them is a refusal.
_REFUSAL_WORDS = (
    *("artificial intelligence", "language model", "virtual assistant", "sorry", "afraid"),
    *("able to", "my previous response", "cannot", "can't", "can’t", "can not", "won't", "won’t"),
    "i'm here to ",
    "i’m here to ",
)
_AI = re.compile(r" ai\b")
_CHATTY = re.compile(
    r"^\W*+(?:sure(?:ly)?(?:[,!.]| thing)|of course[,!.]|certainly[,!.]|absolutely[,!.]"
    r"|okay[,!.]|great (?:question|choice|idea)|i(?:'|’)?d be (?:happy|glad|delighted)"
    r"|i(?:'|’)?ll be (?:happy|glad)|i would be (?:happy|glad)|i can (?:certainly|help)"
    r"|awesome!|hello!|hi there|hello there"
    r"|here(?:'|’)?s (?:a|an|the|my|your|one|some|how)\b|here (?:is|are) (?:a|an|the|my|your|some|"
    r"one|two|three|four|five|six|seven|eight|nine|ten|\d+)\b)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"[.!?]\s+")
_SENTENCE_END = tuple(".!?…。！？؟।\"'”’»)]}`*")  # noqa: RUF001
# Words that need another after them. (Prepositions do not: “what it is made of”.)
_DANGLING = re.compile(r"\b(?:an|the|and|or|your|my|their|its)$|\w\w-$", re.IGNORECASE)
_LONGEST_DANGLING = 8  # characters, with a line break behind
_LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)]|\|)\s*")
_CODE = (
    r"(?:[^\S\n]*+(?:def |class |import |from \w+ import|return\b|#include|<\w+"
    r"|(?:SELECT|FROM|WHERE|GROUP BY|ORDER BY)\b)| {4}\S)"
)
_CODE_START = re.compile(_CODE)
# A pattern that starts with a line break skips the lines; one that starts with `^` does not.
_CODE_LINE = re.compile(rf"\n{_CODE}")
_CODE_END = re.compile(r"[{};][^\S\n]*+$", re.MULTILINE)


def has_placeholder(text: str) -> bool:
    """Whether the text leaves a gap for its reader: `[name]`, `<none>`, `____`, `{{x}}`."""
    if "____" in text or ("{{" in text and "}}" in text and _BRACES.search(text)):
        return True
    low = folded(text)
    if "[" in text and "]" in text and _BRACKETED.search(low):
        return True
    if ("xxxx" in low and _CROSSES.search(text)) or ("lorem ipsum" in low and _LOREM.search(text)):
        return True
    lines = text.split("\n") if "<" in text and ">" in text else []
    return any(_has_gap_tag(line) for line in lines if "<" in line)


def _has_gap_tag(line: str) -> bool:
    """Whether a tag such as `<name>` stands in a line and nothing like `</…` follows it."""
    closing = line.rfind("</")
    return any(tag.end() > closing for tag in _TAG.finditer(line))


def is_refusal(text: str) -> bool:
    """Whether the model declines, or speaks of itself as a language model (English)."""
    low = folded(text)
    may_be = has_any(low, _REFUSAL_WORDS) or _AI.search(low)
    return bool(may_be and (_REFUSAL.search(low) or _SORRY.match(low)))


def is_chatty(text: str) -> bool:
    """Whether the text opens with chat to the user instead of the content (English)."""
    return bool(_CHATTY.match(text))


def repetition(text: str) -> float:
    """Return the share of word trigrams that occurred before in the text, in [0, 1].

    Texts of fewer than 12 words give 0: a repeat in so short a text means nothing.
    """
    if text.isascii():
        words = ascii_words(text, "_")
    else:
        words = [word.casefold() for word in _WORD.findall(text)]
    if len(words) < 12:
        return 0.0
    trigrams = set(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(trigrams) / (len(words) - 2)


def script_share(text: str, script: str) -> float:
    """Return the share of letters whose Unicode name starts with `script`; 1 without letters."""
    if script == "LATIN" and text.isascii():  # as all letters of ASCII are
        return 1.0
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return 1.0
    inside = sum(_is_of_script(char, script) for char in letters)
    return inside / len(letters)


@lru_cache(maxsize=20_000)
def _is_of_script(char: str, script: str) -> bool:
    return unicodedata.name(char, "").startswith(script)


def is_blank(text: str) -> bool:
    """Whether the text is only spaces, dashes, brackets and punctuation."""
    return all_of(text, _is_space_or_mark)


def _is_space_or_mark(char: str) -> bool:
    return char.isspace() or unicodedata.category(char)[0] == "P"


def looks_like_code(text: str) -> bool:
    if "```" in text or _CODE_START.match(text) or _CODE_LINE.search(text):
        return True
    return has_any(text, "{};") and bool(_CODE_END.search(text))


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
    if _LIST_ITEM.match(last_line(text)) or has_lines(text, 3):
        return False
    end = last(_SENTENCE.finditer(text))
    return end is not None and len(_WORD.findall(text, end.end())) > 2


def word_count(text: str) -> int:
    return len(text.split())
