"""The tokens that ROUGE-L compares: the paper's, or Unicode words for other languages.

rouge-score keeps only lower-cased runs of `[a-z0-9]`, so a Chinese, Arabic or Hindi text
has no token and every duplicate of it would pass, and “Viết về bố.” equals “Viết về bò.”. Unicode
words are runs of letters, marks and digits; in a script without spaces (Chinese, Japanese, Thai,
Lao, Khmer, Burmese) each character, with its marks, is a token.

From version 3 on, `auto` takes rouge-score's tokens of a text only if they lose none of its letters
and digits. Then they are its Unicode words, and texts of both kinds can be compared.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache

import regex

from selfinstruct.common.scan import ascii_words, changes, characters, count, each, spaced, spelled
from selfinstruct.common.versions import Versioned

# Scripts that put no spaces between words.
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
    lower = text.lower()
    kept = count(lower, _ROUGE_CHARACTERS.__contains__)
    return Tokenizer.UNICODE if 2 * kept < count(lower, str.isalnum) else Tokenizer.ROUGE


def tokens(text: str, tokenizer: Tokenizer) -> list[str]:
    """Return the tokens of a text, in order.

    For `rouge`, the same as rouge-score's `tokenize.tokenize(text, None)`, in one step.
    """
    if text.isascii():  # its Unicode words are rouge-score's tokens
        return ascii_words(text)
    if tokenizer is Tokenizer.ROUGE:
        return _ROUGE_WORD.findall(text.lower())
    return _words(unicodedata.normalize("NFKC", text).casefold(), _WORD, _WORD_OF_KINDS)


# Longer texts are split by the kinds of their characters, each of which is looked up once.
_LONG = 2_000
_MARK_OF_SPACELESS = regex.compile(rf"(?V1)[[{SPACELESS}]&&\p{{M}}]")
_KINDS = (
    ("S", _MARK_OF_SPACELESS),
    ("s", regex.compile(rf"[{SPACELESS}]")),
    ("m", regex.compile(r"\p{M}")),
    ("l", regex.compile(r"[\p{L}\p{N}]")),
)
_WORD_OF_KINDS = re.compile("[sS][mS]*|[lm]+")
_PLAIN_WORDS = re.compile("s+|l+")
# Longer runs of one kind are split one by one.
_LONG_RUN = 16


@lru_cache(maxsize=100_000)
def kind(char: str) -> str:
    """Return the kind of a character, by which words are told apart.

    `s` is a character of a script without spaces, `S` a mark of one, `m` any other mark, `l` any
    other letter or digit, a space is a space, and `o` the rest.
    """
    if char.isspace():
        return " "
    return next((name for name, pattern in _KINDS if pattern.match(char)), "o")


def kinds(text: str) -> str:
    """Return the kind of each character of a text."""
    return spelled(text, kind)


def _words(text: str, pattern: regex.Pattern[str], of_kinds: re.Pattern[str]) -> list[str]:
    """Return the words of a text by a pattern, or by the same pattern of kinds."""
    if len(text) < _LONG:
        return [str(word) for word in pattern.findall(text)]
    spelling = kinds(text)
    if "m" in spelling or "S" in spelling:
        return [text[word.start() : word.end()] for word in of_kinds.finditer(spelling)]
    if changes(spelling) * _LONG_RUN > len(text):
        return spaced(text, spelling, alone="s", within="l").split()
    words: list[str] = []
    for run in _PLAIN_WORDS.finditer(spelling):
        piece = text[run.start() : run.end()]
        words += each(piece) if spelling[run.start()] == "s" else (piece,)
    return words


# What rouge-score would drop: other letters and digits, and the mark on a letter. Marks that only
# choose how a character is drawn (of an emoji, for one) are no loss.
_LOST = regex.compile(r"(?V1)[[\p{L}\p{N}]--[\x00-\x7f]]|[a-z0-9][[\p{Mn}\p{Mc}]--\p{DI}]")
_MARK = regex.compile(r"[\p{Mn}\p{Mc}]")
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
    return Tokenizer.UNICODE if _loses(text) else Tokenizer.ROUGE


def _loses(text: str) -> bool:
    """Whether rouge-score's tokens of a text lose some of it."""
    lower = unicodedata.normalize("NFC", text).lower()
    if _LOST.search(lower, 0, _LONG):
        return True
    if len(lower) <= _LONG:
        return False
    others = "".join(char for char in characters(lower) if not char.isascii())
    if _LOST.search(others):
        return True
    return bool(_MARK.search(others)) and bool(_LOST.search(lower))


_WORD_3_OF_KINDS = re.compile("[sS][mS]*|l[lm]*")


def tokens_3(text: str, tokenizer: Tokenizer) -> list[str]:
    """Return the tokens of a text, in order; the same for all canonically equivalent texts.

    For `rouge`, those of rouge-score's `tokenize.tokenize` of the text in NFC.
    """
    if text.isascii():
        return ascii_words(text)
    if tokenizer is Tokenizer.ROUGE:
        return _ROUGE_WORD.findall(unicodedata.normalize("NFC", text).lower())
    return _words(folded(text), _WORD_3, _WORD_3_OF_KINDS)


def folded(text: str) -> str:
    """Return a text as Unicode words compare it: without case, variants and invisible characters.

    Close to Unicode's toNFKC_Casefold (UAX 31, R5). A dotted capital I is an i: “İzmir”, “izmir”.
    """
    has_invisible = len(text) < _LONG or any(map(_INVISIBLE.match, characters(text)))
    visible = _INVISIBLE.sub("", text) if has_invisible else text
    lower = unicodedata.normalize("NFKC", visible).casefold()
    return unicodedata.normalize("NFKC", lower).replace("i\u0307", "i")


CHOOSE_TOKENIZER = Versioned(choose_tokenizer, (3, choose_tokenizer_3))
TOKENS = Versioned(tokens, (3, tokens_3))
OWN_TOKENS = Versioned(False, (3, True))
"""Whether each text of a pool is split as it would be as a query; before, as the query is split."""
