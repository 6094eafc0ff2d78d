"""Whether a text stops before its end.

A completion that hit its token limit is known to be cut off. Here the text itself is looked at: it
ends on a comma, on a word that needs another, or within the last of several sentences.
"""

from __future__ import annotations

import re

from selfinstruct.common.scan import has_lines, last, last_line
from selfinstruct.filters.code import is_code

_END = tuple(".!?…。！？؟।\"'”’»)]}`*>")  # noqa: RUF001
# Words that need another after them. (Many prepositions do not: “what it is made of”.)
_DANGLING = re.compile(
    r"\b(?:an|the|and|or|your|my|our|their|its|because|although|unless|whereas|whose|every|such as|"
    r"including)$|\w\w-$",
    re.IGNORECASE,
)
_LONGEST_DANGLING = 12  # characters, with a line break behind
_LIST_ITEM = re.compile(r"^\s*(?:[-*•+]|\d{1,3}[.)]|\(?[A-Za-z][.)]|\|)\s*")
# A sentence ends after a word, not after the letter of an option or an initial.
_SENTENCE = re.compile(r"[.!?](?<=[a-z0-9)\"”’]{2}[.!?])\s+")
_WORD = re.compile(r"\w+")
# At the end of a last sentence without a full stop, they need another word.
_FUNCTION_WORDS = frozenset(
    [
        "a",
        "to",
        "of",
        "with",
        "for",
        "from",
        "at",
        "by",
        "into",
        "than",
        "as",
        "if",
        "when",
        "while",
        "that",
        "which",
        "who",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "has",
        "have",
        "had",
        "will",
        "would",
        "can",
        "could",
        "should",
        "may",
        "might",
        "very",
        "more",
        "most",
        "not",
        "in",
        "on",
        "about",
        "also",
        "then",
        "but",
        "so",
        "just",
        "it",
        "i",
        "you",
        "he",
        "she",
        "we",
        "they",
        "this",
        "these",
        "those",
        "some",
        "any",
        "each",
        "both",
        "between",
    ]
)
# A clause without one is hardly whole.
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|will|would|can|could|may|might|should|must|do|does|"
    r"did|['’](?:s|re|ll|ve|d|m)|\w{2,}(?:ed|es|[^s\W]s)|went|made|got|took|said|came|saw|found|gave)\b",
    re.IGNORECASE,
)
# Ends that need no full stop: a link, an address, a hashtag, a number or formula, an emoji.
_STANDS_ALONE = re.compile(r"(?:https?:|www\.|[#@/=]|\d)|^[^\w]+$")
_ATTRIBUTION = re.compile(r"^\s*[―—–~-]")
_CLOSING = re.compile(
    r"\b(?:regards|sincerely|yours|best|love|thanks|thank you|cheers|wishes|warmly|respectfully|"
    r"cordially|gratefully|faithfully|hugs|looking forward|see you|take care|kisses|truly)\b",
    re.IGNORECASE,
)
_SHORT_LINE = 8


def is_unfinished(text: str) -> bool:
    """Whether an input or output stops before its end.

    A single phrase (a title, a label), code, list items, signatures, links and hashtags need no
    full stop.
    """
    text = text.rstrip()
    if not text or text.endswith(_END) or is_code(text):
        return False
    line = last_line(text)
    if has_lines(text, 2) and _is_signature(line):
        return False
    if text.endswith((",", ";", " -", "–", "—", "(", "[", "{")):
        return not text.endswith((":(", ":[", ";("))
    if ends_open(text):
        return True
    if _LIST_ITEM.match(line) or has_lines(text, 3):
        return False
    end = last(_SENTENCE.finditer(text))
    if end is None:
        return False
    rest = text[end.end() :]
    if _STANDS_ALONE.search(rest.rsplit(maxsplit=1)[-1]):
        return False
    words = _WORD.findall(rest)
    if "\n" in rest or len(words) < 3 or words[-1][0].isupper():
        return False
    return words[-1].casefold() in _FUNCTION_WORDS or not _VERB.search(rest)


def ends_open(text: str) -> bool:
    """Whether the last word needs another after it (English)."""
    return bool(_DANGLING.search(text, max(0, len(text) - _LONGEST_DANGLING)))


def _is_signature(line: str) -> bool:
    if _ATTRIBUTION.match(line):
        return True
    return len(line.split()) <= _SHORT_LINE and bool(_CLOSING.search(line))
