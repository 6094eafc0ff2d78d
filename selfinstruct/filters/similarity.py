"""How alike two texts are: ROUGE-L as rouge-score defines it, and exact match."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_QUOTES = re.compile('["“”„«»]')


def normalised(text: str) -> str:
    """Return an answer without case, articles, quotation marks and a final full stop.

    Emphasis and code marks around the whole answer are removed too. An article that is the whole
    answer stays.
    """
    folded = _QUOTES.sub(" ", text.casefold().replace("’", "'")).strip(" \n\t.*_`'")
    bare = " ".join(_ARTICLES.sub(" ", folded).split())
    return bare or folded


def rouge_f(reference: str, text: str) -> float:
    """Return the ROUGE-L F-measure of two texts, words stemmed, in [0, 1]."""
    return float(_scorer().score(reference, text)["rougeL"].fmeasure)


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)
