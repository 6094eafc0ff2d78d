"""Count the tokens that texts share with a query, and take the LCS where they suffice (numba).

A text is a bag of tokens, and an inverted index has the texts of each token. A text is near enough
if `need` or more of its tokens are common; how many that is depends on both lengths. The lists of
the query's tokens are walked, the shortest first, and the common tokens of each text counted. A
text that no walked list has can at most share the tokens that are left. Once these are fewer than
any text needs, the walk ends: the frequent tokens, whose lists are nearly all of the index, are not
looked at. (The prefix filter of Chaudhuri, Ganti and Kaushik, 2006, with the counts of ScanCount,
Li, Lu and Lu, 2008.) What was counted and what is left bound the score of each text that was met.
Those that can be nearest have their LCS taken, bit-parallel (Hyyrö, 2004), the best bound first.

The list of a token lies in blocks of one array, each twice as long as the one before. A text is
added at the end of its tokens' lists, so nothing is ever ordered again.

The kernels are compiled on their first use and kept in the cache folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba as nb
import numpy as np
from numpy.typing import NDArray

from selfinstruct.common.paths import cache_folder

if not os.environ.get("NUMBA_CACHE_DIR"):
    nb.config.CACHE_DIR = str(cache_folder() / "numba")

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]

# Scores are compared in floating point: pruning leaves this much room.
MARGIN = 1e-9
# Columns of the table of lists: where the newest block starts, its rows in use and in all, and the
# rows of all blocks.
HEAD, FILL, SIZE, TOTAL = 0, 1, 2, 3
COLUMNS = 4
# Before the rows of a block: where the one before it starts, and how many rows that has.
_HEADER = 2
_LARGEST_BLOCK = 4096
# A token's own count where it is higher: as many as the query may have.
_MANY = 255
# To look at a token of a text for its LCS costs as much as so many rows of a list.
_ROWS_FOR_A_TOKEN = 4

F = TypeVar("F", bound=Callable[..., Any])


def _jit(function: F) -> F:
    """Compile a function for the types that it is called with, once for all processes."""
    return cast("F", nb.njit(cache=True, nogil=True)(function))


@_jit
def room_for(tokens: Ints, lists: Ints) -> int:
    """Return how many places of the array of blocks a text can take at most."""
    room = 0
    for token in tokens:
        room += _HEADER + max(1, min(2 * lists[token, SIZE], _LARGEST_BLOCK))
    return room


@_jit
def append(text: int, tokens: Ints, lists: Ints, blocks: Ints, times: Bytes, used: int) -> int:
    """Add a text to the lists of its tokens; return how many places are used then.

    Args:
        text: its number.
        tokens: its tokens.
        lists: for each token the columns above; brought up to date.
        blocks: the blocks of all lists: texts by number; brought up to date.
        times: for each place, how often the text has the token; 255 is that or more.
        used: places of `blocks` that are in use.
    """
    ordered = np.sort(tokens)
    place = 0
    while place < len(ordered):
        token, first = ordered[place], place
        while place < len(ordered) and ordered[place] == token:
            place += 1
        if lists[token, FILL] == lists[token, SIZE]:
            blocks[used] = lists[token, HEAD]
            blocks[used + 1] = lists[token, SIZE]
            lists[token, HEAD] = used
            lists[token, SIZE] = max(1, min(2 * lists[token, SIZE], _LARGEST_BLOCK))
            lists[token, FILL] = 0
            used += _HEADER + lists[token, SIZE]
        row = lists[token, HEAD] + _HEADER + lists[token, FILL]
        blocks[row] = text
        times[row] = min(place - first, _MANY)
        lists[token, FILL] += 1
        lists[token, TOTAL] += 1
    return used


@_jit
def f_measure(lcs: int, m: int, n: int) -> float:
    """Return the ROUGE-L F-measure, in rouge-score's own floating-point steps.

    2pr/(p+r) with p = LCS/m and r = LCS/n (Lin 2004): 0.7 may come out as
    0.7000000000000001, which is above a threshold of 0.7 there, and so here.
    """
    if lcs == 0:
        return 0.0
    precision, recall = lcs / m, lcs / n
    return 2 * precision * recall / (precision + recall)


@_jit
def nearest(
    query: Ints,
    floor: float,
    longest: int,
    lists: Ints,
    blocks: Ints,
    times: Bytes,
    starts: Longs,
    tokens: Ints,
    counts: Any,
    met: Ints,
    masks_at: Ints,
) -> tuple[int, float, int]:
    """Return the nearest text with an F-measure above `floor`, its F, and how many LCS were taken.

    Args:
        query: tokens; -1 for those that no text has.
        floor: F-measure that must be exceeded.
        longest: length of the longest text.
        lists: see `append`, as are `blocks` and `times`.
        blocks: texts.
        times: how often each has the token.
        starts: where each text begins in `tokens`; one more entry for the end.
        tokens: of all texts, in order.
        counts: scratch, zero for each text; an integer type that holds the query's length.
        met: scratch, with a place for each text.
        masks_at: scratch, zero for each token.

    Returns:
        The number is -1 if no text is above the floor. Of texts that are equally near, it is that
        of the one that was added first.
    """
    m = len(query)
    words, own = _bag(query)
    known = int(own.sum())
    shortest, longest = _lengths(floor, m, known, longest)
    if shortest > longest:
        return -1, floor, 0
    order = _by_frequency(words, lists)
    fewest = least_common(floor, m, shortest)
    number, walked, left = 0, 0, known
    while walked < len(words) and left >= fewest:
        word, most = words[order[walked]], own[order[walked]]
        number = _count(word, most, lists, blocks, times, counts, met, number)
        left -= most
        walked += 1
    number = _keep(m, known, left, floor, shortest, longest, starts, counts, met, number)
    rows = 0
    for place in range(walked, len(words)):
        rows += lists[words[order[place]], TOTAL]
    if rows < number * m * _ROWS_FOR_A_TOKEN:
        # To count what is left costs less than to take the LCS of all of them.
        for place in range(walked, len(words)):
            _count_more(words[order[place]], own[order[place]], lists, blocks, times, counts)
        left = 0
        number = _keep(m, known, left, floor, shortest, longest, starts, counts, met, number)
    if number == 0:
        return -1, floor, 0
    masks = _masks(query, words, masks_at)
    best, score, verified = -1, floor, 0
    best_lcs, best_length = 0, 0
    for place in range(number):
        text = met[place]
        n = starts[text + 1] - starts[text]
        common = min(counts[text] + left, known, n)
        counts[text] = 0
        # One as long, with no more in common, that was added later is at best equally near.
        is_later = n == best_length and common <= best_lcs and text > best
        if 2 * common / (m + n) > score - MARGIN and not is_later:
            verified += 1
            lcs = _lcs(tokens[starts[text] : starts[text + 1]], masks, masks_at, m)
            f = f_measure(lcs, m, n)
            if f > score or (f == score and 0 <= text < best):
                best, score, best_lcs, best_length = text, f, lcs, n
    for word in words:
        masks_at[word] = 0
    return best, score, verified


@_jit
def _bag(query: Ints) -> tuple[Ints, Ints]:
    """Return the known tokens of a query, each once, and how often it has each."""
    ordered = np.sort(query)
    words, own = np.empty(len(query), np.int32), np.empty(len(query), np.int32)
    size = 0
    for word in ordered:
        if word < 0:
            continue
        if size > 0 and words[size - 1] == word:
            own[size - 1] += 1
        else:
            words[size], own[size] = word, 1
            size += 1
    return words[:size], own[:size]


@_jit
def least_common(floor: float, m: int, n: int) -> int:
    """Return the least number of common tokens with which 2·c/(m+n) can exceed `floor`."""
    return max(1, int(np.floor((floor - MARGIN) * (m + n) / 2)) + 1)


@_jit
def _lengths(floor: float, m: int, known: int, longest: int) -> tuple[int, int]:
    """Return the shortest and the longest length, up to `longest`, of texts near enough.

    With each token more, a text needs at most one common token more.
    """
    low, high = 1, longest + 1
    while low < high:
        middle = (low + high) // 2
        if least_common(floor, m, middle) <= middle:
            high = middle
        else:
            low = middle + 1
    shortest = low
    low, high = 0, longest
    while low < high:
        middle = (low + high + 1) // 2
        if least_common(floor, m, middle) <= known:
            low = middle
        else:
            high = middle - 1
    return shortest, low


@_jit
def _by_frequency(words: Ints, lists: Ints) -> Longs:
    """Return the places of the words, the one of the shortest list first."""
    frequencies = np.empty(len(words), np.int64)
    for place in range(len(words)):
        frequencies[place] = lists[words[place], TOTAL]
    return np.argsort(frequencies)


@_jit
def _count(
    word: int,
    most: int,
    lists: Ints,
    blocks: Ints,
    times: Bytes,
    counts: Any,
    met: Ints,
    number: int,
) -> int:
    """Count a word for every text that has it; return how many texts were met with that."""
    head, fill = lists[word, HEAD], lists[word, FILL]
    while head >= 0:
        for row in range(head + _HEADER, head + _HEADER + fill):
            text = blocks[row]
            met[number] = text
            number += counts[text] == 0
            counts[text] += 1 if most == 1 else _common(most, times[row])
        head, fill = blocks[head], blocks[head + 1]
    return number


@_jit
def _count_more(word: int, most: int, lists: Ints, blocks: Ints, times: Bytes, counts: Any) -> None:
    """Count a word for the texts that are counted already."""
    head, fill = lists[word, HEAD], lists[word, FILL]
    while head >= 0:
        for row in range(head + _HEADER, head + _HEADER + fill):
            text = blocks[row]
            if counts[text] > 0:
                counts[text] += 1 if most == 1 else _common(most, times[row])
        head, fill = blocks[head], blocks[head + 1]


@_jit
def _common(most: int, times: int) -> int:
    """Return how often a token is common to the query, which has it `most` times, and a text."""
    return most if times == _MANY else min(most, times)


@_jit
def _keep(
    m: int,
    known: int,
    left: int,
    floor: float,
    shortest: int,
    longest: int,
    starts: Longs,
    counts: Any,
    met: Ints,
    number: int,
) -> int:
    """Move the texts that can be above the floor to the start of `met`; return how many they are.

    The most promising is the first. The counts of the others are zero again.
    """
    kept, first, most = 0, 0, -1.0
    for place in range(number):
        text = met[place]
        n = starts[text + 1] - starts[text]
        bound = 2 * min(counts[text] + left, known, n) / (m + n)
        if shortest <= n <= longest and bound > floor - MARGIN:
            if bound > most:
                first, most = kept, bound
            met[kept] = text
            kept += 1
        else:
            counts[text] = 0
    if kept > 0:
        met[0], met[first] = met[first], met[0]
    return kept


@_jit
def _masks(query: Ints, words: Ints, masks_at: Ints) -> Words:
    """Return for each word the places where the query has it, as bits, and note its row.

    Row 0 is that of all other tokens.
    """
    masks = np.zeros((len(words) + 1, (len(query) + 63) // 64), np.uint64)
    for row in range(len(words)):
        masks_at[words[row]] = row + 1
    for place in range(len(query)):
        if query[place] >= 0:
            bit = np.uint64(1) << np.uint64(place % 64)
            masks[masks_at[query[place]], place // 64] |= bit
    return masks


@_jit
def _lcs(text: Ints, masks: Words, masks_at: Ints, m: int) -> int:
    """Return the length of the longest common subsequence of a text and the query.

    A bit of `unmatched` is 0 where the row of the dynamic programme rises.
    """
    size = masks.shape[1]
    unmatched = np.full(size, np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64)
    for token in text:
        row = masks_at[token]
        if row == 0:
            continue
        carry = np.uint64(0)
        for word in range(size):
            bits = unmatched[word]
            both = bits & masks[row, word]
            total = bits + both
            overflow = np.uint64(total < bits)
            with_carry = total + carry
            carry = overflow | np.uint64(with_carry < total)
            unmatched[word] = with_carry | (bits & ~masks[row, word])
    length = 0
    for place in range(m):
        length += (unmatched[place // 64] >> np.uint64(place % 64)) & np.uint64(1) == 0
    return length
