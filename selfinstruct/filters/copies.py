"""Whether an instruction is, or holds, one that is known already.

Texts are compared as words: NFKC, casefolded, without punctuation; in a script without spaces each
character is one. A text holds another if it has the other's words side by side.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from selfinstruct.filters.novelty.tokens import Tokenizer, tokens
from selfinstruct.filters.quoted import Quoted, Quotes

# A shown text of fewer words is part of too many others; equal texts are copies at any length.
_LEAST_SHOWN = 3
_COLON = re.compile(r"[:：]\s")  # noqa: RUF001
_QUOTED = Quoted(Quotes('"“”„«「『', '"“”»」』', 600), Quotes("`", "`", 600))


def words_of(text: str) -> list[str]:
    """Return the words of a text by which copies are found."""
    return tokens(text, Tokenizer.UNICODE)


@lru_cache(maxsize=16)
def _shown_words(text: str) -> list[str]:
    """Return the words of a shown task: all instructions of a proposal are held against them."""
    return words_of(text)


def copies_shown(text: str, shown: Iterable[str]) -> bool:
    """Whether the text equals a task that its prompt showed, or holds one of 3 words or more."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    # Most tasks have a word that the text has nowhere.
    near = [theirs for theirs in map(_shown_words, shown) if all(word in folded for word in theirs)]
    if not near:
        return False
    own = words_of(text)
    framed = f" {' '.join(own)} "
    return any(
        (theirs and theirs == own)
        or (len(theirs) >= _LEAST_SHOWN and f" {' '.join(theirs)} " in framed)
        for theirs in near
    )


def own_starts(text: str) -> tuple[list[str], list[bool]]:
    """Return the words of a text, and for each whether the instruction itself speaks there.

    What follows a colon or stands in quotation marks may be the input of the task.
    """
    words: list[str] = []
    own: list[bool] = []
    for piece, is_own in _pieces(text):
        more = words_of(piece)
        words += more
        own += [is_own] * len(more)
    return words, own


def _pieces(text: str) -> list[tuple[str, bool]]:
    colon = _COLON.search(text)
    end = colon.end() if colon else len(text)
    pieces: list[tuple[str, bool]] = []
    at = 0
    for start, stop in _QUOTED.spans(text, end):
        pieces += [(text[at:start], True), (text[start:stop], False)]
        at = stop
    return [*pieces, (text[at:end], True), (text[end:], False)]


def weight(words: Sequence[str]) -> float:
    """Return the length of a text in words; a character of a script without spaces is half one."""
    return sum(0.5 if len(word) == 1 and ord(word) > 0x0E00 else 1.0 for word in words)
