"""ROUGE-L against every text of the pool (the paper, §3.4), decided as rouge-score would.

Why pruning loses nothing: F = 2·LCS/(m+n) for texts of m and n tokens. A common subsequence is a
common bag of tokens, so F > t needs more than t(m+n)/2 common tokens, in any order. The index
(overlap.py) counts them, and takes the LCS of the texts that may have enough, the one with the most
first, until no other can score higher. Rounding errors are about 1e-16, and pruning leaves a margin
of 1e-9. Scores are those of rouge-score's own expression, in its own floating-point steps.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfinstruct.common.records import NAN
from selfinstruct.common.versions import RULES_VERSION, Versioned
from selfinstruct.filters.novelty.held import HeldTexts
from selfinstruct.filters.novelty.tokens import CHOOSE_TOKENIZER, OWN_TOKENS, TOKENS, Tokenizer

if TYPE_CHECKING:
    from selfinstruct.filters.novelty.token_pool import TokenPool


@dataclass(frozen=True, slots=True)
class Match:
    """A text of the pool and its ROUGE-L F-measure with the query."""

    id: str
    score: float


def _zero_where_nothing_is_near(scorable: bool) -> float:
    return 0.0 if scorable else NAN


def _nan_where_nothing_is_near(_scorable: bool) -> float:
    """There is no score: the index does not search below the audit floor."""
    return NAN


NOTHING_NEAR = Versioned(_zero_where_nothing_is_near, (2, _nan_where_nothing_is_near))
"""The score of a text that is near no text of the pool, by whether it has a token."""


class NoveltyIndex:
    """The pool of instructions that a new one must differ from.

    Args:
        threshold: F-measure above which `nearest` finds a text, unless it gets another floor.
        tokenizer: `rouge`, `unicode`, or `auto`: each text decides for itself which of the two is
            used (before version 3, the query's text decides for the pool too).
        version: of the rules; it decides how texts are split.
    """

    def __init__(
        self, threshold: float = 0.7, tokenizer: str = "auto", version: int = RULES_VERSION
    ) -> None:
        self.threshold = threshold
        self.seconds = 0.0
        self._tokenizer = tokenizer
        self._choose_tokenizer = CHOOSE_TOKENIZER.at(version)
        self._split = TOKENS.at(version)
        self._own_tokens = OWN_TOKENS.at(version)
        self._ids: list[str] = []
        self._texts: list[str] = []
        self._pools: dict[Tokenizer | None, TokenPool] = {}
        self._held = HeldTexts()
        self._numbers: dict[str, int] = {}
        self._last_choice: tuple[str, Tokenizer] | None = None
        self._last: tuple[str, Tokenizer, list[str]] | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id: str, text: str) -> None:
        """Add a text to the pool. A text without tokens is kept, and is near to nothing."""
        self._ids.append(id)
        self._texts.append(text)

    def add_all(self, items: Iterable[tuple[str, str]]) -> None:
        """Add (id, text) pairs."""
        for id, text in items:
            self.add(id, text)

    def tokenizer_of(self, text: str) -> Tokenizer:
        """Return the tokenizer that is used for a text."""
        if self._last_choice is None or self._last_choice[0] != text:
            self._last_choice = (text, self._choose_tokenizer(text, self._tokenizer))
        return self._last_choice[1]

    def scorable(self, text: str) -> bool:
        """Whether the text has a token that ROUGE-L could compare."""
        return bool(self._tokens(text, self.tokenizer_of(text)))

    def nearest(self, text: str, floor: float | None = None) -> Match | None:
        """Return the pooled text with the highest F-measure, if that is above `floor`.

        Args:
            text: the query. Its tokens are kept: `add` or `scorable` of the same text right
                after does not split it again.
            floor: F-measure in [0, 1]; by default the threshold.

        Ties go to the text that was added first.
        """
        started = time.perf_counter()
        least = self.threshold if floor is None else floor
        tokenizer = self.tokenizer_of(text)
        pool = self._pool(tokenizer)
        nearest = pool.nearest(self._tokens(text, tokenizer), least)
        self.seconds += time.perf_counter() - started
        return None if nearest is None else Match(self._ids[nearest[0]], nearest[1])

    def nearest_all(self, texts: Iterable[str], floor: float | None = None) -> list[Match | None]:
        """Return the nearest of each text, as `nearest` does, without adding any."""
        return [self.nearest(text, floor) for text in texts]

    def add_if_novel(self, id: str, text: str) -> Match | None:
        """Add a text unless the pool has one above the threshold; return that one."""
        match = self.nearest(text)
        if match is None:
            self.add(id, text)
        return match

    def held(self, text: str) -> str | None:
        """Return the id of a pooled text of 8 words or more that a text holds whole, or None.

        What follows a colon or is quoted may be the text's input, and holds nothing.
        """
        for number in range(len(self._held), len(self._texts)):
            self._held.add(self._texts[number])
        number_held = self._held.find(text, self._texts)
        return None if number_held is None else self._ids[number_held]

    def text_of(self, id: str) -> str | None:
        """Return the pooled text of an id, or None."""
        for number in range(len(self._numbers), len(self._ids)):
            self._numbers.setdefault(self._ids[number], number)
        number_of = self._numbers.get(id)
        return None if number_of is None else self._texts[number_of]

    def _pool(self, tokenizer: Tokenizer) -> TokenPool:
        """Return the pool that a query is compared with, with all texts that were added since.

        Before version 3, there is one for each tokenizer, in its tokens. Texts are split only when
        needed: most runs never need the second.
        """
        from selfinstruct.filters.novelty.token_pool import TokenPool

        key = None if self._own_tokens else tokenizer
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = TokenPool()
        for text in self._texts[len(pool) :]:
            own = self.tokenizer_of(text) if self._own_tokens else tokenizer
            pool.add(self._tokens(text, own))
        return pool

    def _tokens(self, text: str, tokenizer: Tokenizer) -> list[str]:
        if self._last is None or self._last[0] != text or self._last[1] is not tokenizer:
            self._last = (text, tokenizer, self._split(text, tokenizer))
        return self._last[2]
