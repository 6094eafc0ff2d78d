"""All texts of a run at once: which of them hold others whole, word for word.

As held.py decides it, for texts that are all known beforehand. A text is found by its first eight
words. The places of runs of eight words are kept by a hash of those words, in compiled code: only
of those with which a text may begin, which are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfinstruct.filters.copies import own_starts, weight, words_of
from selfinstruct.filters.novelty.coded import CodedTexts
from selfinstruct.filters.novelty.held import _FIRST
from selfinstruct.filters.novelty.overlap import _jit

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Holdings:
    """Texts, numbered from 0, with the words that copies are found by (copies.py).

    Args:
        coded: their words.
        text_of: returns a text by its number.
    """

    def __init__(self, coded: CodedTexts, text_of: Callable[[int], str]) -> None:
        self._coded, self._text_of = coded, text_of
        self._long = np.diff(coded.starts) >= _FIRST
        for number in coded.other.tolist():
            self._long[number] = weight(words_of(text_of(number))) >= _FIRST
        bits = max(10, len(coded).bit_length() + 1)
        begins = np.zeros(1 << (bits + 2), np.bool_)
        _mark(coded.starts, coded.tokens, begins)
        heads = np.zeros((1 << bits) + 1, np.int32)
        _count(coded.starts, coded.tokens, begins, heads)
        self._heads = np.cumsum(heads, dtype=np.int32)
        self._places = np.empty(int(self._heads[-1]), np.int32)
        _fill(coded.starts, coded.tokens, begins, self._heads[:-1].copy(), self._places)

    def holders(self, text: int) -> list[int]:
        """Return the texts after a text that hold it whole, if it is of eight words or more."""
        if not self._long[text]:
            return []
        words = self._coded.of(text)
        begin = int(self._coded.starts[text])
        places = self._same(begin)
        places = places[places >= self._coded.starts[text + 1]]
        owners = np.searchsorted(self._coded.starts, places, side="right") - 1
        found = set()
        for owner, place in zip(owners.tolist(), places.tolist(), strict=True):
            at = place - int(self._coded.starts[owner])
            if owner not in found and self._matches(owner, at, words):
                found.add(owner)
        return sorted(found)

    def held(self, text: int, pool: NDArray[np.uint8]) -> int | None:
        """Return the text of a pool that a text holds first, of those before it, or None.

        Args:
            text: number of the text.
            pool: for each text, whether it counts (1) or not (0).
        """
        coded = self._coded
        begin, end = int(coded.starts[text]), int(coded.starts[text + 1])
        for place in range(begin, end - _FIRST + 1):
            places = self._same(place)
            owners = np.searchsorted(coded.starts, places, side="right") - 1
            is_start = coded.starts[owners] == places
            fits = is_start & (owners < text) & self._long[owners] & (pool[owners] == 1)
            for owner in owners[fits].tolist():
                if self._matches(text, place - begin, coded.of(owner)):
                    return int(owner)
        return None

    def _same(self, place: int) -> Longs:
        """Return the places of the same eight words as those at a place, ascending.

        All of them if a text begins with these words; of others, perhaps none.
        """
        found: Longs = _same(place, self._coded.tokens, self._heads, self._places)
        return found

    def _matches(self, text: int, at: int, words: Ints) -> bool:
        """Whether a text has some words at a place where the instruction itself speaks."""
        own_words = self._coded.of(text)
        if not np.array_equal(own_words[at : at + len(words)], words):
            return False
        return bool(own_starts(self._text_of(text))[1][at])


def splits_alike(texts: Iterable[str]) -> bool:
    """Whether all texts have the same words as a whole and in the pieces that copies look at."""
    return all(own_starts(text)[0] == words_of(text) for text in texts)


@_jit
def _bucket(tokens: Ints, place: int, size: int) -> int:
    mixed = np.uint64(1469598103934665603)
    for at in range(place, place + 8):
        mixed = (mixed ^ np.uint64(tokens[at])) * np.uint64(1099511628211)
    return int((mixed ^ (mixed >> np.uint64(29))) & np.uint64(size - 1))


@_jit
def _mark(starts: Longs, tokens: Ints, begins: Flags) -> None:
    """Mark the hashes of the first eight words of all texts."""
    for text in range(len(starts) - 1):
        if starts[text + 1] - starts[text] >= 8:
            begins[_bucket(tokens, starts[text], len(begins))] = True


@_jit
def _count(starts: Longs, tokens: Ints, begins: Flags, heads: Ints) -> None:
    for text in range(len(starts) - 1):
        for place in range(starts[text], starts[text + 1] - 7):
            bucket = _bucket(tokens, place, len(begins))
            if begins[bucket]:
                heads[(bucket & (len(heads) - 2)) + 1] += 1


@_jit
def _fill(starts: Longs, tokens: Ints, begins: Flags, heads: Ints, places: Ints) -> None:
    for text in range(len(starts) - 1):
        for place in range(starts[text], starts[text + 1] - 7):
            bucket = _bucket(tokens, place, len(begins))
            if begins[bucket]:
                bucket &= len(heads) - 1
                places[heads[bucket]] = place
                heads[bucket] += 1


@_jit
def _same(place: int, tokens: Ints, heads: Ints, places: Ints) -> Any:
    bucket = _bucket(tokens, place, len(heads) - 1)
    found = np.empty(heads[bucket + 1] - heads[bucket], np.int64)
    count = 0
    for row in range(heads[bucket], heads[bucket + 1]):
        other = places[row]
        if np.array_equal(tokens[other : other + 8], tokens[place : place + 8]):
            found[count] = other
            count += 1
    return found[:count]
