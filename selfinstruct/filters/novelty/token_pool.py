"""Texts as tokens in flat arrays, and the text that is nearest to a query by ROUGE-L.

Tokens have a global order, rarest first, which the walk of overlap.py needs. It is computed from
the frequency of each token, whenever the pool has grown by half. Tokens that are new since then
count as rarer than all others, the newest first. Any order gives the same results; this one gives
short walks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rapidfuzz.distance import LCSseq

from selfinstruct.filters.novelty import overlap
from selfinstruct.filters.novelty.overlap import Ints, Longs, Marks

_GROWTH = 1.5  # the pool is ordered again after it has grown by this factor
_LEAST_ROOM = 1024


def f_measure(lcs: int, m: int, n: int) -> float:
    """Return the ROUGE-L F-measure, in rouge-score's own floating-point steps.

    2pr/(p+r) with p = LCS/m and r = LCS/n (Lin 2004): 0.7 may come out as
    0.7000000000000001, which is above a threshold of 0.7 there, and so here.
    """
    if lcs == 0:
        return 0.0
    precision, recall = lcs / m, lcs / n
    return 2 * precision * recall / (precision + recall)


class TokenPool:
    """Texts, numbered as they are added.

    Args:
        floor: the lowest floor of `nearest`; a query with a lower one rebuilds the postings.

    Attributes:
        queries: number of walks of the index.
        verified: texts that were compared in full, over all queries.
    """

    _token_at: Ints  # see overlap.find for these
    _order_of: Ints
    _first: Longs
    _postings: Ints
    _marks: Marks
    _heads: Ints
    _links: Ints
    _link_marks: Marks
    _seen: Ints
    _slack: Ints
    _matches: Ints
    _common: Ints
    _front: int  # order number of the newest token
    _used: int  # links in use
    _stamp: int
    _rebuild_at: int

    def __init__(self, floor: float) -> None:
        self.queries = 0
        self.verified = 0
        self._floor = floor
        self._numbers: dict[str, int] = {}
        self._size = 0
        self._starts = np.zeros(_LEAST_ROOM + 1, np.int64)
        self._tokens = np.empty(0, np.int32)
        self._orders = np.empty(0, np.int32)
        self._longest = 0
        self._rebuild()

    def __len__(self) -> int:
        return self._size

    def add(self, words: Sequence[str]) -> None:
        """Add a text."""
        if self._size >= self._rebuild_at or self._front < len(words):
            self._rebuild(new_words=len(words))
        tokens = np.array([self._number(word) for word in words], np.int32)
        start = int(self._starts[self._size])
        end = start + len(words)
        self._tokens = _with_room(self._tokens, end)
        self._orders = _with_room(self._orders, end)
        self._starts = _with_room(self._starts, self._size + 2)
        self._links = _with_room(self._links, self._used + len(words))
        self._link_marks = _with_room(self._link_marks, self._used + len(words))
        self._tokens[start:end] = tokens
        self._starts[self._size + 1] = end
        self._used = overlap.append(
            self._size,
            tokens,
            self._order_of,
            self._token_at,
            self._floor,
            self._orders[start:end],
            self._heads,
            self._links,
            self._link_marks,
            self._used,
        )
        self._size += 1
        self._longest = max(self._longest, len(words))

    def nearest(self, words: Sequence[str], floor: float) -> tuple[int, float] | None:
        """Return (number, F-measure) of the nearest text, if that is above `floor`.

        Of texts that are equally near, the one that was added first.
        """
        if not words or not self._size:
            return None
        # A text of at most n tokens has an F of at most 2n/(m+n) with one of m.
        if 2 * self._longest < (floor - overlap.MARGIN) * (len(words) + self._longest):
            return None
        if floor < self._floor:
            self._floor = floor
            self._rebuild()
        tokens = [self._numbers.get(word, -1) for word in words]
        return self._best(tokens, self._candidates(tokens, floor), floor)

    def _candidates(self, tokens: list[int], floor: float) -> list[tuple[float, int, int, int]]:
        """Return (bound on F, text, common tokens, length), the highest bound first."""
        if len(self._seen) < self._size:
            self._seen = np.zeros(len(self._starts), np.int32)
            self._matches = np.empty(len(self._starts), np.int32)
            self._common = np.empty(len(self._starts), np.int32)
            self._stamp = 0
        if len(self._slack) <= self._longest:
            self._slack = np.empty(2 * self._longest + 1, np.int32)
        self._stamp += 1
        count = overlap.find(
            np.array(tokens, np.int32),
            floor,
            self._order_of,
            self._token_at,
            self._starts,
            self._orders,
            self._first,
            self._postings,
            self._marks,
            self._heads,
            self._links,
            self._link_marks,
            self._seen,
            self._stamp,
            self._slack,
            self._matches,
            self._common,
        )
        self.queries += 1
        m = len(tokens)
        candidates = []
        for text, common in zip(
            self._matches[:count].tolist(), self._common[:count].tolist(), strict=True
        ):
            n = int(self._starts[text + 1] - self._starts[text])
            candidates.append((2 * common / (m + n), text, common, n))
        candidates.sort(key=lambda candidate: (-candidate[0], candidate[1]))
        return candidates

    def _best(
        self, tokens: list[int], candidates: list[tuple[float, int, int, int]], floor: float
    ) -> tuple[int, float] | None:
        """Compare texts in full, the most promising first, until no other can be nearer."""
        best, best_score, best_lcs, best_length = -1, floor, 0, 0
        m = len(tokens)
        for bound, text, common, n in candidates:
            if bound < best_score - overlap.MARGIN:
                break
            if n == best_length and common <= best_lcs and text > best:
                continue  # at best equally near, and added later
            self.verified += 1
            start, end = self._starts[text], self._starts[text + 1]
            lcs = int(LCSseq.similarity(tokens, self._tokens[start:end].tolist()))
            score = f_measure(lcs, m, n)
            if score > best_score or (score == best_score and 0 <= text < best):
                best, best_score, best_lcs, best_length = text, score, lcs, n
        return (best, best_score) if best >= 0 else None

    def _number(self, word: str) -> int:
        """Return a word's number; a new one goes to the front of the order."""
        number = self._numbers.get(word)
        if number is None:
            number = len(self._numbers)
            self._numbers[word] = number
            self._front -= 1
            self._order_of[number] = self._front
            self._token_at[self._front] = number
        return number

    def _rebuild(self, new_words: int = 0) -> None:
        """Order the tokens by their present frequency, and rewrite all postings."""
        size, words = self._size, len(self._numbers)
        starts = self._starts[: size + 1]
        tokens = self._tokens[: starts[size]]
        room = max(_LEAST_ROOM, words, new_words)  # for tokens that are new from here on
        frequency = np.bincount(tokens, minlength=words)
        by_frequency = np.argsort(frequency, kind="stable").astype(np.int32)
        self._token_at = np.full(room + words, -1, np.int32)
        self._token_at[room:] = by_frequency
        self._order_of = np.full(room + words, -1, np.int32)
        self._order_of[by_frequency] = np.arange(room, room + words, dtype=np.int32)
        self._front = room
        self._heads = np.full(room + words, -1, np.int32)
        self._links = np.empty((_LEAST_ROOM, 4), np.int32)
        self._link_marks = np.empty(_LEAST_ROOM, np.uint64)
        self._used = 0
        overlap.sort_all(starts, tokens, self._order_of, self._orders)
        counts = np.zeros(words + 1, np.int64)
        overlap.count_postings(starts, self._orders, self._token_at, self._floor, counts)
        ends = np.cumsum(counts)
        self._postings = np.empty((ends[-1], 3), np.int32)
        self._marks = np.empty(ends[-1], np.uint64)
        begins = ends - counts
        by_length = np.argsort(np.diff(starts), kind="stable")
        overlap.build(
            starts,
            self._orders,
            self._token_at,
            by_length,
            self._floor,
            begins.copy(),
            self._postings,
            self._marks,
        )
        self._first = begins
        self._rebuild_at = max(64, int(size * _GROWTH))
        self._seen = self._matches = self._common = np.zeros(0, np.int32)
        self._slack = np.zeros(0, np.int32)


def _with_room(array: np.ndarray[Any, Any], rows: int) -> np.ndarray[Any, Any]:
    """Return the array, or a copy twice as long if it has fewer rows."""
    if len(array) >= rows:
        return array
    larger = np.empty((max(rows, 2 * len(array)), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
