"""The tokens that ROUGE-L compares: the paper's, or Unicode words for other languages.

rouge-score keeps only lower-cased runs of `[a-z0-9]`, so a Chinese, Arabic or Hindi text
has no token and every duplicate of it would pass. Unicode words are runs of letters,
marks and digits; in a script without spaces (Chinese, Japanese, Thai, Lao, Khmer,
Burmese) each character, with its marks, is a token.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

import regex

from selfinstruct.common.versions import Versioned

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"(?V1)[{_SPACELESS}]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}]--[{_SPACELESS}]]+")
_ROUGE_WORD = re.compile(r"[a-z0-9]+")
_ROUGE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


class Tokenizer(StrEnum):
    """How a text is split: as rouge-score does, or by Unicode words."""

    ROUGE = "rouge"
    UNICODE = "unicode"


def choose_tokenizer(text: str, setting: str) -> Tokenizer:
    """Return the tokenizer for a text, by the setting `rouge`, `unicode` or `auto`.

    `auto` takes the paper's unless fewer than half of the text's letters and digits are
    `[a-z0-9]`, in lower or upper case.
    """
    if setting != "auto":
        return Tokenizer(setting)
    if text.isascii():
        return Tokenizer.ROUGE
    letters = [letter for letter in text.lower() if letter.isalnum()]
    kept = sum(letter in _ROUGE_CHARACTERS for letter in letters)
    return Tokenizer.UNICODE if 2 * kept < len(letters) else Tokenizer.ROUGE


def tokens(text: str, tokenizer: Tokenizer) -> list[str]:
    """Return the tokens of a text, in order.

    For `rouge`, the same as rouge-score's `tokenize.tokenize(text, None)`, in one step.
    """
    if tokenizer is Tokenizer.ROUGE:
        return _ROUGE_WORD.findall(text.lower())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [str(word) for word in _WORD.findall(folded)]


CHOOSE_TOKENIZER = Versioned(choose_tokenizer)
TOKENS = Versioned(tokens)
