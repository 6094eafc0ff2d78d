"""Runs of words that two texts share only if one was copied from the other.

13 words in sequence (GPT-3, arXiv:2005.14165, app. C), in any case and in form NFC. A word
of a script without spaces has about two characters: there, 26 characters in sequence.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from selfinstruct.filters.novelty.tokens import SPACELESS
from selfinstruct.filters.similarity import composed

WORDS = 13
_CHARACTERS = 26
_PART = regex.compile(rf"(?V1)(?P<character>[{SPACELESS}]\p{{M}}*)|[\w--[{SPACELESS}]]+")


def ngrams(text: str) -> Iterator[tuple[str, ...]]:
    """Yield every run of words of a text."""
    parts = [
        (str(part.group()), bool(part["character"]))
        for part in _PART.finditer(composed(text).casefold())
    ]
    words = [word for word, _ in parts]
    for start, (_, is_character) in enumerate(parts):
        end = start + (_CHARACTERS if is_character else WORDS)
        if end <= len(words):
            yield tuple(words[start:end])
