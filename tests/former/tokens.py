"""As it was: `selfinstruct/filters/novelty/tokens.py`."""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

import regex

SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"(?V1)[{SPACELESS}]\p{{M}}*|[[\p{{L}}\p{{N}}\p{{M}}]--[{SPACELESS}]]+")
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


_LOST = regex.compile(r"(?V1)[[\p{L}\p{N}]--[\x00-\x7f]]|[a-z0-9][[\p{Mn}\p{Mc}]--\p{DI}]")
_INVISIBLE = regex.compile(r"\p{DI}+")  # soft hyphens, joiners, marks of direction
_WORD_3 = regex.compile(
    rf"(?V1)[{SPACELESS}]\p{{M}}*"
    rf"|[[\p{{L}}\p{{N}}]--[{SPACELESS}]][[\p{{L}}\p{{N}}\p{{M}}]--[{SPACELESS}]]*"
)


def choose_tokenizer_3(text: str, setting: str) -> Tokenizer:
    """Return the tokenizer for a text, by the setting `rouge`, `unicode` or `auto`.

    `auto` takes the paper's where it loses no letter, digit or mark on a letter.
    """
    if setting != "auto":
        return Tokenizer(setting)
    if text.isascii():
        return Tokenizer.ROUGE
    lost = _LOST.search(unicodedata.normalize("NFC", text).lower())
    return Tokenizer.UNICODE if lost else Tokenizer.ROUGE


def tokens_3(text: str, tokenizer: Tokenizer) -> list[str]:
    """Return the tokens of a text, in order; the same for all canonically equivalent texts.

    For `rouge`, those of rouge-score's `tokenize.tokenize` of the text in NFC.
    """
    if text.isascii():  # its Unicode words are rouge-score's tokens
        return _ROUGE_WORD.findall(text.lower())
    if tokenizer is Tokenizer.ROUGE:
        return _ROUGE_WORD.findall(unicodedata.normalize("NFC", text).lower())
    return [str(word) for word in _WORD_3.findall(folded(text))]


def folded(text: str) -> str:
    """Return a text as Unicode words compare it: without case, variants and invisible characters.

    Close to Unicode's toNFKC_Casefold (UAX 31, R5). A dotted capital I is an i: “İzmir”, “izmir”.
    """
    visible = _INVISIBLE.sub("", text)
    lower = unicodedata.normalize("NFKC", visible).casefold()
    return unicodedata.normalize("NFKC", lower).replace("i\u0307", "i")
