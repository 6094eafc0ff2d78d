"""What an instruction asks: a question, one that names its subject, one with a closed answer."""

from __future__ import annotations

import re

from selfinstruct.filters.length import has_spaceless

_MARK = re.compile(r"[?？؟]\W*$")  # noqa: RUF001
_ASKS = re.compile(
    r"^\W*(?:what|whats|who|whom|whose|which|when|where|why|how|is|are|was|were|do|does|did|can|could|"
    r"will|would|should|shall|has|have|had|may|might|must)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
# They stand for what was said before: in an instruction, nothing was.
_POINTERS = frozenset(
    (
        *("it", "its", "it's", "this", "that", "that's", "these", "those", "they", "them", "their"),
        *("he", "she", "him", "her", "his", "you", "your", "we", "us", "our", "i", "me", "my"),
        *("there", "here", "one", "ones", "some", "any", "both", "else", "same", "such"),
    )
)
_EMPTY = frozenset(
    (
        *("what", "what's", "who", "who's", "whom", "whose", "which", "when", "where", "why"),
        *("how", "how's", "is", "are", "was", "were", "be", "been", "do", "does", "did", "done"),
        *("can", "could", "will", "would", "should", "shall", "has", "have", "had", "may"),
        *("might", "must", "the", "a", "an", "of", "to", "for", "in", "on", "at", "about", "with"),
        *("and", "or", "not", "no", "so", "then", "now", "next", "up", "more", "much", "many"),
        *("less", "most", "come", "happen", "happens", "happened", "going", "wrong", "matter"),
        *("mean", "means", "next", "other", "others", "also", "too", "again", "ok", "okay"),
    )
)


def is_question(text: str) -> bool:
    """Whether a text ends with a question mark, or starts as a question does (English)."""
    return bool(_MARK.search(text) or _ASKS.match(text))


def names_its_subject(text: str) -> bool:
    """Whether a text has a word that says what it is about, and none that points elsewhere.

    The words are English; in other languages every text passes.
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    if any(word in _POINTERS for word in words):
        return False
    return any(word not in _EMPTY for word in words)


def is_short_question(text: str) -> bool:
    """Whether a text is a question that says what it asks about, in words between spaces."""
    return not has_spaceless(text) and is_question(text) and names_its_subject(text)
