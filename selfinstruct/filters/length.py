"""How long a text is, in words, in any script.

A word is what stands between spaces, as the paper counts. In a script without spaces (Chinese,
Japanese, Thai, Lao, Khmer, Burmese) each character counts as one word, with its marks, and so does
each run of other letters and digits between them: “用Python写诗” has 4.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import regex

from selfinstruct.common.scan import characters
from selfinstruct.common.versions import Versioned
from selfinstruct.filters.novelty.tokens import SPACELESS, kinds
from selfinstruct.filters.text import word_count

_HAS_SPACELESS = regex.compile(rf"[{SPACELESS}]")
# All scripts without spaces lie here.
_HIGH = re.compile("[\u0e00-\U0010ffff]")
_SHORT = 200
_LONG = 2_000
_PIECE = re.compile(r"\S+")
_LETTERS = r"\p{L}\p{N}\p{M}"
# A vowel sign of Thai belongs to the letter before it.
_WORD_OF_KINDS = re.compile("s[mS]*|[lm]+|[mS]+")
_RUN_OF_LETTERS = re.compile("l+")
_WORD = regex.compile(
    rf"(?V1)[[{SPACELESS}]--\p{{M}}]\p{{M}}*|[[{_LETTERS}]--[{SPACELESS}]]+|\p{{M}}+"
)


def has_spaceless(text: str) -> bool:
    """Whether a text has a character of a script without spaces."""
    first = None if text.isascii() else _HIGH.search(text)
    if first is None:
        return False
    # A character that occurs again is looked at once.
    rest = text[first.start() :]
    return bool(_HAS_SPACELESS.search(rest if len(rest) < _SHORT else "".join(characters(rest))))


def count_words(text: str) -> int:
    """Return the number of words."""
    return _count(text)


@lru_cache(maxsize=8)  # two rules count the words of one text
def _count(text: str) -> int:
    if not has_spaceless(text):
        return len(text.split())
    if len(text) >= _LONG:
        pieces = Counter(kinds(text).split())
        return sum(number * _count_kinds(piece) for piece, number in pieces.items())
    return sum(
        len(_WORD.findall(piece)) if _HAS_SPACELESS.search(piece) else 1
        for piece in _PIECE.findall(text)
    )


def _count_kinds(piece: str) -> int:
    """Return the number of words of a piece without spaces, by the kinds of its characters."""
    if "s" not in piece and "S" not in piece:
        return 1
    if "m" in piece or "S" in piece:
        return len(_WORD_OF_KINDS.findall(piece))
    return piece.count("s") + len(_RUN_OF_LETTERS.findall(piece))


WORDS = Versioned(word_count, (3, count_words))
"""The number of words of a text, as the rules of a version count."""


def first_words(text: str, count: int) -> str:
    """Return the beginning of a text: at most so many words."""
    if not has_spaceless(text):
        return " ".join(text.split()[:count])
    end = 0
    for number, word_end in enumerate(_word_ends(text)):
        if number == count:
            break
        end = word_end
    return text[:end]


def _word_ends(text: str) -> Iterator[int]:
    """Yield where each word of a text ends."""
    for piece in _PIECE.finditer(text):
        if _HAS_SPACELESS.search(piece.group()):
            yield from (word.end() for word in _WORD.finditer(text, *piece.span()))
        else:
            yield piece.end()
