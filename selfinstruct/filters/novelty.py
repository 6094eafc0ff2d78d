"""ROUGE-L against every text of the pool (the paper, §3.4), decided as rouge-score would.

The longest common subsequence is rapidfuzz's bit-parallel one; the score is rouge-score's
expression over it, 2pr/(p+r) with p = LCS/m and r = LCS/n, in the same floating-point
steps, because the decision is `score > threshold` and 0.7 comes out as 0.7000000000000001
for many lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from selfinstruct.filters.tokens import Tokenizer, choose_tokenizer, tokens


@dataclass(frozen=True, slots=True)
class Match:
    """A text of the pool and its ROUGE-L F-measure with the query."""

    id: str
    score: float


class NoveltyIndex:
    """The pool of instructions that a new one must differ from.

    Args:
        threshold: F-measure above which `nearest` finds a text, unless it is given a floor.
        tokenizer: `rouge`, `unicode`, or `auto`: the query's own text decides which of the
            two judges it, and the pool is compared in the same tokens.
    """

    def __init__(self, threshold: float = 0.7, tokenizer: str = "auto") -> None:
        self.threshold = threshold
        self._wanted = tokenizer
        self._ids: list[str] = []
        self._texts: list[str] = []
        self._pools = {tokenizer: _Pool(tokenizer) for tokenizer in Tokenizer}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id: str, text: str) -> None:
        """Add a text to the pool. One without tokens is kept, and is near to nothing."""
        self._ids.append(id)
        self._texts.append(text)

    def tokenizer_of(self, text: str) -> Tokenizer:
        """Return the tokenizer that judges a text."""
        return choose_tokenizer(text, self._wanted)

    def scorable(self, text: str) -> bool:
        """Whether the text has a token that ROUGE-L could compare."""
        return bool(tokens(text, self.tokenizer_of(text)))

    def nearest(self, text: str, floor: float | None = None) -> Match | None:
        """Return the pooled text with the highest F-measure, if that is above `floor`.

        Args:
            text: the query.
            floor: F-measure in [0, 1]; by default the threshold.

        Ties go to the text that was added first.
        """
        pool = self._pools[self.tokenizer_of(text)]
        pool.catch_up(self._texts)
        found = pool.nearest(text)
        if found is None or found[1] <= (self.threshold if floor is None else floor):
            return None
        return Match(self._ids[found[0]], found[1])


class _Pool:
    """The texts of an index in the tokens of one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._encoded: list[str] = []
        self._lengths: list[int] = []
        # A token becomes one character, so that rapidfuzz compares strings.
        self._characters: dict[str, str] = {}

    def catch_up(self, texts: list[str]) -> None:
        """Take in the texts that were added since; nothing is encoded that nobody asks for."""
        for text in texts[len(self._encoded) :]:
            encoded = self._encode(text)
            self._encoded.append(encoded)
            self._lengths.append(len(encoded))

    def nearest(self, text: str) -> tuple[int, float] | None:
        """Return (position, F-measure) of the nearest text."""
        query = self._encode(text)
        if not query or not self._encoded:
            return None
        scores = self._scores(query)
        best = int(np.argmax(scores))
        return best, float(scores[best])

    def _scores(self, query: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        lcs = cdist([query], self._encoded, scorer=LCSseq.similarity, dtype=np.int32)[0]
        lengths = np.asarray(self._lengths, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = lcs / lengths
            recall = lcs / np.float64(len(query))
            scores = 2 * precision * recall / (precision + recall)
        return np.where(lcs > 0, scores, 0.0)

    def _encode(self, text: str) -> str:
        return "".join(self._character(token) for token in tokens(text, self._tokenizer))

    def _character(self, token: str) -> str:
        character = self._characters.get(token)
        if character is None:
            number = len(self._characters)
            # Surrogates (U+D800 to U+DFFF) are not characters. 1.1 million words are enough:
            # past that, sharing a character could only call two different texts alike.
            code = number if number < 0xD800 else number + 0x800
            character = chr(min(code, 0x10FFFF))
            self._characters[token] = character
        return character
