"""All texts of a run at once: which of them are near one another by ROUGE-L.

The index of index.py grows as candidates pass. Here every text is known beforehand, and a query is
one of them: which texts before it, of those that a pool holds then, or after it are near? A prefix
prunes (Chaudhuri et al. 2006, A primitive operator for similarity joins): two texts whose F-measure
is above a floor share enough tokens, so that their rarest common token is among the first of both.
All of a query runs in compiled code, with the longest common subsequence in words of 64 bits
(Hyyrö 2004, Bit-parallel LCS-length computation revisited).
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfinstruct.filters.novelty.coded import CodedTexts
from selfinstruct.filters.novelty.overlap import MARGIN, _jit, least_common

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Bytes = NDArray[np.uint8]


class TextJoin:
    """Texts, numbered from 0, and an index for queries with a floor of at least `floor`."""

    def __init__(self, texts: CodedTexts, floor: float) -> None:
        self._texts = texts
        self._floor = floor
        words = max(len(texts.numbers), 1)
        frequency = np.bincount(texts.tokens, minlength=words)
        order_of = np.empty(words, np.int32)
        order_of[np.argsort(frequency, kind="stable")] = np.arange(words, dtype=np.int32)
        self._orders = np.empty(len(texts.tokens), np.int32)
        _sort(texts.starts, texts.tokens, order_of, self._orders)
        self._slot = np.full(words, -1, np.int32)
        self._everything = np.ones(len(texts), np.uint8)
        self._index(np.arange(len(texts)))

    def only(self, members: Longs) -> TextJoin:
        """Return an index that finds some of the texts alone, for queries of all of them.

        Args:
            members: numbers of the texts that are found, ascending.
        """
        other = copy(self)
        other._index(members)
        return other

    def _index(self, members: Longs) -> None:
        starts, orders = self._texts.starts, self._orders
        counts = np.zeros(len(self._slot) + 1, np.int64)
        _count(starts, orders, self._floor, members, counts)
        self._first = np.cumsum(counts)
        self._postings = np.empty((int(self._first[-1]), 2), np.int32)
        _fill(starts, orders, self._floor, members, self._first[:-1].copy(), self._postings)
        self._seen = np.zeros(len(self._texts), np.int32)
        self._stamp = 0

    def nearest(self, text: int, floor: float, pool: Bytes) -> tuple[int, float] | None:
        """Return the nearest text before a text, if its F-measure is above `floor`.

        Of texts that are equally near, the first.

        Args:
            text: number of the text.
            floor: F-measure in [0, 1].
            pool: for each text, whether it counts (1) or not (0).
        """
        found, scores = self._find(text, floor, 0, text, pool, best=True)
        return (int(found[-1]), float(scores[-1])) if len(found) else None

    def later(self, text: int, floor: float) -> Longs:
        """Return the texts after a text whose F-measure with it is above `floor`."""
        found, _ = self._find(text, floor, text + 1, len(self._texts), self._everything, best=False)
        return found

    def nearest_of(self, text: int, others: Longs, floor: float) -> tuple[int, float] | None:
        """Return the nearest of a few texts, as `nearest` does, by comparing with each.

        Args:
            text: number of the text.
            others: numbers of the texts, ascending.
            floor: F-measure in [0, 1].
        """
        texts = self._texts
        near, score = _nearest_of(text, others, floor, texts.starts, texts.tokens, self._slot)
        return (int(near), float(score)) if near >= 0 else None

    def _find(
        self, text: int, floor: float, low: int, high: int, pool: Bytes, *, best: bool
    ) -> tuple[Longs, NDArray[np.float64]]:
        if floor < self._floor:
            raise ValueError(f"floor {floor} is below the {self._floor} of the index")
        texts = self._texts
        self._stamp += 1
        found: tuple[Longs, NDArray[np.float64]] = _find(
            text,
            floor,
            low,
            high,
            best,
            pool,
            texts.starts,
            texts.tokens,
            self._orders,
            self._first,
            self._postings,
            self._seen,
            self._stamp,
            self._slot,
        )
        return found


@_jit
def prefix_length(floor: float, n: int) -> int:
    """Return how many of the first tokens of a text need a posting.

    The partner that needs the fewest common tokens is the shortest one possible, of just
    over n·t/(2-t) tokens, all of them common.
    """
    least = max(1, int(np.floor((floor - MARGIN) * n / (2 - floor + MARGIN))) + 1)
    return n - least + 1


@_jit
def _sort(starts: Longs, tokens: Ints, order_of: Ints, orders: Ints) -> None:
    """Write the order numbers of every text, ascending."""
    for text in range(len(starts) - 1):
        for place in range(starts[text], starts[text + 1]):
            orders[place] = order_of[tokens[place]]
        begin, end = starts[text], starts[text + 1]
        if end - begin > 64:
            orders[begin:end].sort()
            continue
        # Insertion: quicker than numba's own for the length of most texts.
        for place in range(begin + 1, end):
            order, at = orders[place], place
            while at > begin and orders[at - 1] > order:
                orders[at] = orders[at - 1]
                at -= 1
            orders[at] = order


@_jit
def _count(starts: Longs, orders: Ints, floor: float, members: Longs, counts: Longs) -> None:
    """Count the postings of every token."""
    for text in members:
        start, end = starts[text], starts[text + 1]
        for place in range(start, start + prefix_length(floor, end - start)):
            if place == start or orders[place] != orders[place - 1]:
                counts[orders[place] + 1] += 1


@_jit
def _fill(
    starts: Longs, orders: Ints, floor: float, members: Longs, first: Longs, postings: Ints
) -> None:
    """Write the postings (text, position) of every token, in the order of the texts."""
    for text in members:
        start, end = starts[text], starts[text + 1]
        for position in range(prefix_length(floor, end - start)):
            order = orders[start + position]
            if position == 0 or order != orders[start + position - 1]:
                postings[first[order], 0] = text
                postings[first[order], 1] = position
                first[order] += 1


@_jit
def _common(orders: Ints, i: int, end: int, j: int, stop: int, need: int) -> bool:
    """Whether two sorted texts share `need` more tokens from two places on."""
    while need > 0:
        if end - i < need or stop - j < need:
            return False
        if orders[i] == orders[j]:
            need -= 1
            i += 1
            j += 1
        elif orders[i] < orders[j]:
            i += 1
        else:
            j += 1
    return True


@_jit
def _masks(tokens: Ints, slot: Ints) -> Any:
    """Return, for each different token of a text, the bits of its places; fill `slot`."""
    size = len(tokens)
    masks = np.zeros((size, (size + 63) // 64), np.uint64)
    used = 0
    for place in range(size):
        token = tokens[place]
        if slot[token] < 0:
            slot[token] = used
            used += 1
        masks[slot[token], place // 64] |= np.uint64(1) << np.uint64(place % 64)
    return masks


@_jit
def _lcs(masks: Any, slot: Ints, size: int, other: Ints) -> int:
    """Return the length of the longest common subsequence; the places of one text are masks."""
    words = masks.shape[1]
    state = np.full(words, ~np.uint64(0), np.uint64)
    for token in other:
        row = slot[token]
        if row < 0:
            continue
        carry = np.uint64(0)
        for word in range(words):
            old = state[word]
            match = old & masks[row, word]
            total = old + match
            over = total < match
            with_carry = total + carry
            carry = np.uint64(1) if over or with_carry < total else np.uint64(0)
            state[word] = with_carry | (old & ~match)
    length = 0
    for place in range(size):
        if (state[place // 64] >> np.uint64(place % 64)) & np.uint64(1) == np.uint64(0):
            length += 1
    return length


@_jit
def _f_measure(lcs: int, m: int, n: int) -> float:
    """Return the F-measure, in the steps of token_pool.f_measure."""
    if lcs == 0:
        return 0.0
    precision, recall = lcs / m, lcs / n
    return 2 * precision * recall / (precision + recall)


@_jit
def _find(
    text: int,
    floor: float,
    low: int,
    high: int,
    best: bool,
    pool: Bytes,
    starts: Longs,
    tokens: Ints,
    orders: Ints,
    first: Longs,
    postings: Ints,
    seen: Ints,
    stamp: int,
    slot: Ints,
) -> Any:
    """Return the texts from `low` up to `high` whose F-measure is above `floor`, and the measures.

    With `best`, the last one is the nearest; those before it are not all that are above the floor.
    """
    begin, end = starts[text], starts[text + 1]
    m = end - begin
    own = tokens[begin:end]
    found = np.empty(16, np.int64)
    scores = np.empty(16, np.float64)
    count = 0
    top, top_text, limit = floor, -1, floor
    masks = _masks(own, slot)
    for i in range(prefix_length(floor, m)):
        order = orders[begin + i]
        if i > 0 and order == orders[begin + i - 1]:
            continue
        for row in range(first[order], first[order + 1]):
            other = postings[row, 0]
            if other < low or other >= high or not pool[other] or seen[other] == stamp:
                continue
            start, stop = starts[other], starts[other + 1]
            n, j = stop - start, postings[row, 1]
            need = least_common(limit, m, n)
            if need > m or need > n or i > m - need or j > n - need:
                continue
            seen[other] = stamp
            if not _common(orders, begin + i + 1, end, start + j + 1, stop, need - 1):
                continue
            score = _f_measure(_lcs(masks, slot, m, tokens[start:stop]), m, n)
            if best:
                if score < top or (score == top and (top_text < 0 or other > top_text)):
                    continue
                top, top_text = score, other
                limit = max(floor, score - 1e-9)
            elif score <= floor:
                continue
            if count == len(found):
                found = np.append(found, np.empty(count, np.int64))
                scores = np.append(scores, np.empty(count, np.float64))
            found[count] = other
            scores[count] = score
            count += 1
    for token in own:
        slot[token] = -1
    return found[:count], scores[:count]


@_jit
def _nearest_of(
    text: int, others: Longs, floor: float, starts: Longs, tokens: Ints, slot: Ints
) -> Any:
    """Return the nearest of some texts before a text, or -1, and its F-measure."""
    begin, end = starts[text], starts[text + 1]
    m = end - begin
    own = tokens[begin:end]
    near, top = -1, floor
    masks = _masks(own, slot)
    for other in others:
        if other >= text:
            break
        n = starts[other + 1] - starts[other]
        if 2 * min(m, n) <= (top - 1e-9) * (m + n):
            continue
        lcs = _lcs(masks, slot, m, tokens[starts[other] : starts[other + 1]])
        score = _f_measure(lcs, m, n)
        if score > top:
            near, top = other, score
    for token in own:
        slot[token] = -1
    return near, top
