"""How alike two texts are: ROUGE-L as rouge-score defines it, and exact match.

A text is compared by rouge-score's tokens where they lose none of its letters and digits, else by
its Unicode words (novelty/tokens.py): rouge-score drops all of a Chinese or Russian answer.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import cache
from typing import Any

from selfinstruct.common.versions import Versioned
from selfinstruct.filters.novelty.tokens import Tokenizer, choose_tokenizer_3, tokens_3

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_QUOTES = re.compile('["“”„«»]')
_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_END = " \t\n.!?…。！？"  # noqa: RUF001


def composed(text: str) -> str:
    """Return a text in Unicode's form NFC: two texts that look alike become the same characters."""
    return unicodedata.normalize("NFC", text)


def _as_it_is(text: str) -> str:
    return text


SAME_TEXT = Versioned(_as_it_is, (3, composed))
"""What two inputs, or two outputs, must have in common to count as the same."""


def normalised(text: str) -> str:
    """Return an answer without case, articles, quotation marks and a final full stop.

    Emphasis and code marks around the whole answer are removed too. An article that is the whole
    answer stays.
    """
    folded = _QUOTES.sub(" ", composed(text).casefold().replace("’", "'")).strip(" \n\t.。*_`'")
    bare = " ".join(_ARTICLES.sub(" ", folded).split())
    return bare or folded


def forgiving(text: str) -> str:
    """Return an answer as `normalised` does, without final marks, and a number by its value.

    So "Paris!" is "Paris", "1,000" is "1000" and "4.0" is "4". Only an answer that is a number as
    a whole is read as one.
    """
    bare = normalised(text).rstrip(_END) or normalised(text)
    if _NUMBER.fullmatch(bare):
        number = Decimal(bare.replace(",", ""))
        return f"{number.normalize():f}" if number else "0"
    return bare


def rouge_f(reference: str, text: str) -> float:
    """Return the ROUGE-L F-measure of two texts, English words stemmed, in [0, 1]."""
    return float(_scorer().score(reference, text)["rougeL"].fmeasure)


# rouge-score stems longer words only.
_SHORTEST_STEMMED = 4


class _Words:
    """A tokenizer for rouge-score: its own tokens, or Unicode words where those would lose letters.

    Unicode words of ASCII letters are stemmed as its own are, so that an answer with a foreign name
    in it is compared like any other.
    """

    def __init__(self) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        self._default = DefaultTokenizer(use_stemmer=True)

    def tokenize(self, text: str) -> list[str]:
        if choose_tokenizer_3(text, "auto") is Tokenizer.ROUGE:
            return list(self._default.tokenize(text))
        return [self._stemmed(word) for word in tokens_3(text, Tokenizer.UNICODE)]

    def _stemmed(self, word: str) -> str:
        if len(word) < _SHORTEST_STEMMED or not word.isascii():
            return word
        return "".join(self._default.tokenize(word))


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Words())
