"""Find phrases in a text of any script.

A phrase is found in any case and in any form of Unicode. In a script with spaces it must be whole
words: “als KI” is not in “als Kind”.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import regex

from selfinstruct.filters.novelty.tokens import SPACELESS

# What must not stand before or behind a phrase that begins or ends with such a letter.
_LETTER = rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{SPACELESS}]]"
_IS_LETTER = regex.compile(rf"(?V1){_LETTER}")


def holds_phrase(text: str, phrases: Sequence[str]) -> bool:
    """Whether a text has one of the phrases."""
    return bool(phrases) and bool(_pattern(tuple(phrases)).search(_folded(text)))


def starts_with_phrase(text: str, phrases: Sequence[str]) -> bool:
    """Whether a text starts with one of the phrases; spaces and marks may stand before it."""
    if not phrases:
        return False
    start = regex.sub(r"^[\s\p{P}\p{S}]+", "", _folded(text))
    return bool(_pattern(tuple(phrases)).match(start))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


@lru_cache(maxsize=32)
def _pattern(phrases: tuple[str, ...]) -> regex.Pattern[str]:
    return regex.compile("(?V1)" + "|".join(_whole(_folded(phrase)) for phrase in phrases))


def _whole(phrase: str) -> str:
    before = rf"(?<!{_LETTER})" if _IS_LETTER.match(phrase[0]) else ""
    behind = rf"(?!{_LETTER})" if _IS_LETTER.match(phrase[-1]) else ""
    words = r"\s+".join(regex.escape(word) for word in phrase.split())
    return f"{before}{words}{behind}"
