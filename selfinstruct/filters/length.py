"""How long a text is, in words, in any script.

A word is what stands between spaces, as the paper counts. In a script without spaces (Chinese,
Japanese, Thai, Lao, Khmer, Burmese) each character counts as one word, with its marks, and so does
each run of other letters and digits between them: “用Python写诗” has 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

from selfinstruct.common.versions import Versioned
from selfinstruct.filters.novelty.tokens import SPACELESS
from selfinstruct.filters.text import word_count

_HAS_SPACELESS = regex.compile(rf"[{SPACELESS}]")
_PIECE = re.compile(r"\S+")
_LETTERS = r"\p{L}\p{N}\p{M}"
# A vowel sign of Thai belongs to the letter before it.
_WORD = regex.compile(
    rf"(?V1)[[{SPACELESS}]--\p{{M}}]\p{{M}}*|[[{_LETTERS}]--[{SPACELESS}]]+|\p{{M}}+"
)


def has_spaceless(text: str) -> bool:
    """Whether a text has a character of a script without spaces."""
    return bool(_HAS_SPACELESS.search(text))


def count_words(text: str) -> int:
    """Return the number of words."""
    if text.isascii() or not _HAS_SPACELESS.search(text):
        return len(text.split())
    return sum(
        len(_WORD.findall(piece)) if _HAS_SPACELESS.search(piece) else 1
        for piece in _PIECE.findall(text)
    )


WORDS = Versioned(word_count, (3, count_words))
"""The number of words of a text, as the rules of a version count."""


def first_words(text: str, count: int) -> str:
    """Return the beginning of a text: at most so many words."""
    if text.isascii() or not _HAS_SPACELESS.search(text):
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
