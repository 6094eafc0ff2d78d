"""Texts as numbers of tokens in flat arrays, and the one that is nearest to a query by ROUGE-L."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from selfinstruct.filters.novelty import overlap

_LEAST_ROOM = 1024
# Counts of common tokens take a byte for each text, if no count can be higher.
_MOST_IN_A_BYTE = 255


class TokenPool:
    """Texts, numbered as they are added.

    Attributes:
        queries: number of walks of the index.
        verified: texts whose LCS was taken, over all queries.
    """

    def __init__(self) -> None:
        self.queries = 0
        self.verified = 0
        self._numbers: dict[str, int] = {}
        self._size = 0
        self._longest = 0
        self._starts = np.zeros(_LEAST_ROOM + 1, np.int64)
        self._tokens = np.empty(_LEAST_ROOM, np.int32)
        # See overlap.append for these; no list has a block yet.
        self._lists = np.zeros((_LEAST_ROOM, overlap.COLUMNS), np.int32)
        self._lists[:, overlap.HEAD] = -1
        self._blocks = np.empty(_LEAST_ROOM, np.int32)
        self._times = np.empty(_LEAST_ROOM, np.uint8)
        self._used = 0
        # Scratch of a query.
        self._counts = np.zeros(0, np.uint8)
        self._high_counts = np.zeros(0, np.int32)
        self._met = np.empty(0, np.int32)
        self._masks_at = np.zeros(0, np.int32)

    def __len__(self) -> int:
        return self._size

    def add(self, words: Sequence[str]) -> None:
        """Add a text."""
        numbers = self._numbers
        tokens = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int32)
        if len(numbers) > len(self._lists):
            known = len(self._lists)
            self._lists = _with_room(self._lists, len(numbers))
            self._lists[known:] = 0
            self._lists[known:, overlap.HEAD] = -1
        start = int(self._starts[self._size])
        end = start + len(words)
        self._tokens = _with_room(self._tokens, end)
        self._tokens[start:end] = tokens
        self._starts = _with_room(self._starts, self._size + 2)
        self._starts[self._size + 1] = end
        room = self._used + overlap.room_for(tokens, self._lists)
        self._blocks = _with_room(self._blocks, room)
        self._times = _with_room(self._times, room)
        self._used = overlap.append(
            self._size, tokens, self._lists, self._blocks, self._times, self._used
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
        tokens = np.array([self._numbers.get(word, -1) for word in words], np.int32)
        best, score, verified = overlap.nearest(
            tokens,
            floor,
            self._longest,
            self._lists,
            self._blocks,
            self._times,
            self._starts,
            self._tokens,
            self._scratch(len(words)),
            self._met,
            self._masks_at,
        )
        self.queries += 1
        self.verified += verified
        return (best, score) if best >= 0 else None

    def _scratch(self, most: int) -> Any:
        """Make the scratch arrays as large as the pool; return that of counts up to `most`."""
        if len(self._met) <= self._size:
            self._met = np.empty(len(self._starts), np.int32)
        if len(self._masks_at) < len(self._lists):
            self._masks_at = np.zeros(len(self._lists), np.int32)
        if most <= _MOST_IN_A_BYTE:
            if len(self._counts) <= self._size:
                self._counts = np.zeros(len(self._starts), np.uint8)
            return self._counts
        if len(self._high_counts) <= self._size:
            self._high_counts = np.zeros(len(self._starts), np.int32)
        return self._high_counts


def _with_room(array: np.ndarray[Any, Any], rows: int) -> np.ndarray[Any, Any]:
    """Return the array, or a copy with half as many rows again if it has fewer."""
    if len(array) >= rows:
        return array
    larger = np.empty((max(rows, len(array) * 3 // 2), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
