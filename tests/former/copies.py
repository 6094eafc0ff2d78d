"""As it was: `selfinstruct/filters/copies.py`."""

from __future__ import annotations

from collections.abc import Iterable

from selfinstruct.filters.novelty.tokens import Tokenizer
from tests.former.tokens import tokens

_LEAST_SHOWN = 3


def words_of(text: str) -> list[str]:
    """Return the words of a text by which copies are found."""
    return tokens(text, Tokenizer.UNICODE)


def copies_shown(text: str, shown: Iterable[str]) -> bool:
    """Whether the text equals a task that its prompt showed, or holds one of 3 words or more."""
    own = words_of(text)
    framed = f" {' '.join(own)} "
    for other in shown:
        theirs = words_of(other)
        if theirs and theirs == own:
            return True
        if len(theirs) >= _LEAST_SHOWN and f" {' '.join(theirs)} " in framed:
            return True
    return False
