"""As it was: `selfinstruct/filters/length.py`."""

from __future__ import annotations

import re

import regex

from selfinstruct.filters.novelty.tokens import SPACELESS

_HAS_SPACELESS = regex.compile(rf"[{SPACELESS}]")
_PIECE = re.compile(r"\S+")
_LETTERS = r"\p{L}\p{N}\p{M}"
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
