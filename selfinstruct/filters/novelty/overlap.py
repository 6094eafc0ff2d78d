"""Walk an inverted index for the texts that share enough tokens with a query (numba).

A text is a bag of tokens; both texts of a pair are sorted by one global order, rarest
token first, with repeats side by side. Let `need` be the least number of common tokens
that a pair of lengths m and n must have. If a pair has it, all its common tokens are at or
after the first common one, which is therefore at a position i ≤ m - need in the query and
j ≤ n - need in the text. So it is enough to walk the postings of the query's first tokens,
and of these only the entries (text, n, j) with j ≤ n - need(n): a skipped text has too few
common tokens, for any order of the tokens.

Each text of this walk is first checked by its mark, 64 bits beside the posting. Each token of
a text flips one bit, so two marks differ in at most as many bits as there are tokens in one
text and not in the other (Sandes, Teodoro and Melo, Bitmap Filter, 2017). Texts that pass are
merged from (i, j) on, to count all common tokens.

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
Marks = NDArray[np.uint64]

# Scores are compared in floating point: pruning leaves this much room.
MARGIN = 1e-9

F = TypeVar("F", bound=Callable[..., Any])


def _jit(function: F) -> F:
    """Compile a function for the types that it is called with, once for all processes."""
    return cast("F", nb.njit(cache=True, nogil=True)(function))


@_jit
def least_common(floor: float, m: int, n: int) -> int:
    """Return the least number of common tokens with which 2·c/(m+n) can exceed `floor`."""
    return max(1, int(np.floor((floor - MARGIN) * (m + n) / 2)) + 1)


@_jit
def prefix_length(floor: float, n: int) -> int:
    """Return how many of the first tokens of a text need a posting.

    The partner that needs the fewest common tokens is the shortest one possible, of just
    over n·t/(2-t) tokens, all of them common.
    """
    least = max(1, int(np.floor((floor - MARGIN) * n / (2 - floor + MARGIN))) + 1)
    return n - least + 1


@_jit
def _mark(orders: Ints, token_at: Ints) -> np.uint64:
    """Return the mark of a text: a bit flipped for each token."""
    mark = np.uint64(0)
    for order in orders:
        # Any bit will do for an unknown token (-1): it is in no other text.
        token = np.uint64(token_at[order]) if order >= 0 else np.uint64(0)
        bit = (token * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(58)
        mark ^= np.uint64(1) << bit
    return mark


@_jit
def _bits(mark: np.uint64) -> np.int64:
    """Count the bits that are set (LLVM compiles this to one instruction)."""
    v = mark
    v = v - ((v >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((v * np.uint64(0x0101010101010101)) >> np.uint64(56))


@_jit
def sort_all(starts: Longs, tokens: Ints, order_of: Ints, orders: Ints) -> None:
    """Write the order numbers of every text's tokens to `orders`, ascending within each."""
    for text in range(len(starts) - 1):
        for place in range(starts[text], starts[text + 1]):
            orders[place] = order_of[tokens[place]]
        orders[starts[text] : starts[text + 1]].sort()


@_jit
def append(
    text: int,
    tokens: Ints,
    order_of: Ints,
    token_at: Ints,
    floor: float,
    orders: Ints,
    heads: Ints,
    links: Ints,
    link_marks: Marks,
    used: int,
) -> int:
    """Add a text since the last build; return how many links are used then.

    Args:
        text: its number.
        tokens: its tokens.
        order_of: order number of a token.
        token_at: token of an order number.
        floor: the lowest floor of later queries.
        orders: result: its order numbers, ascending.
        heads: newest link of each token, or -1; brought up to date.
        links: rows of (text, length, position, next); brought up to date.
        link_marks: for each row, the mark of its text.
        used: rows of `links` that are in use.
    """
    n = len(tokens)
    for place in range(n):
        orders[place] = order_of[tokens[place]]
    orders.sort()
    mark = _mark(orders, token_at)
    for position in range(prefix_length(floor, n)):
        if position > 0 and orders[position] == orders[position - 1]:
            continue
        token = token_at[orders[position]]
        links[used, 0] = text
        links[used, 1] = n
        links[used, 2] = position
        links[used, 3] = heads[token]
        link_marks[used] = mark
        heads[token] = used
        used += 1
    return used


@_jit
def build(
    starts: Longs,
    orders: Ints,
    token_at: Ints,
    by_length: Longs,
    floor: float,
    first: Longs,
    postings: Ints,
    marks: Marks,
) -> None:
    """Fill the postings of every token, shortest text first.

    Args:
        starts: where each text begins in `orders`; one more entry for the end.
        orders: the order numbers of all texts, ascending within each.
        token_at: token of an order number.
        by_length: texts, shortest first.
        floor: the lowest floor of later queries.
        first: where the postings of each token begin; moved to where they end.
        postings: result: rows of (text, length, position).
        marks: result: for each row, the mark of its text.
    """
    for text in by_length:
        start, end = starts[text], starts[text + 1]
        mark = _mark(orders[start:end], token_at)
        prefix = prefix_length(floor, end - start)
        for position in range(prefix):
            if position > 0 and orders[start + position] == orders[start + position - 1]:
                continue
            token = token_at[orders[start + position]]
            row = first[token]
            postings[row, 0] = text
            postings[row, 1] = end - start
            postings[row, 2] = position
            marks[row] = mark
            first[token] = row + 1


@_jit
def count_postings(
    starts: Longs,
    orders: Ints,
    token_at: Ints,
    floor: float,
    counts: Longs,
) -> None:
    """Count the postings that `build` will write for each token."""
    for text in range(len(starts) - 1):
        start, end = starts[text], starts[text + 1]
        prefix = prefix_length(floor, end - start)
        for position in range(prefix):
            if position == 0 or orders[start + position] != orders[start + position - 1]:
                counts[token_at[orders[start + position]]] += 1


@_jit
def _common(first: Ints, second: Ints, i: int, j: int, need: int) -> int:
    """Count common tokens of two sorted bags from (i, j) on; 0 if `need` cannot be reached."""
    m, n = len(first), len(second)
    common = 0
    while i < m and j < n:
        if common + min(m - i, n - j) < need:
            return 0
        if first[i] == second[j]:
            common += 1
            i += 1
            j += 1
        elif first[i] < second[j]:
            i += 1
        else:
            j += 1
    return common if common >= need else 0


@_jit
def _first_at_least(postings: Ints, low: int, high: int, length: int) -> int:
    """Return the first row of postings[low:high] with a text of that length or more."""
    while low < high:
        middle = (low + high) // 2
        if postings[middle, 1] < length:
            low = middle + 1
        else:
            high = middle
    return low


@_jit
def find(
    tokens: Ints,
    floor: float,
    order_of: Ints,
    token_at: Ints,
    starts: Longs,
    orders: Ints,
    first: Longs,
    postings: Ints,
    marks: Marks,
    heads: Ints,
    links: Ints,
    link_marks: Marks,
    seen: Ints,
    stamp: int,
    slack: Ints,
    matches: Ints,
    common: Ints,
) -> int:
    """Write the texts with enough common tokens to `matches`, and the counts to `common`.

    Args:
        tokens: of the query; -1 for those that no text has.
        floor: F-measure that must be exceeded.
        order_of: order number of a token.
        token_at: token of an order number.
        starts: where each text begins in `orders`; one more entry for the end.
        orders: order numbers of all texts, ascending within each.
        first: where the postings of each token begin; one more entry for the end.
        postings: rows of (text, length, position), for each token by length.
        marks: for each row, the mark of its text.
        heads: newest link of each token, or -1.
        links: rows of (text, length, position, next), for texts added since the build.
        link_marks: for each row, the mark of its text.
        seen: for each text, the stamp of the last query that looked at it.
        stamp: of this query.
        slack: scratch, longer than the longest text: n - need(n).
        matches: result; has room for every text.
        common: result, likewise.

    Returns:
        The number of texts written.
    """
    query = _sorted_orders(tokens, order_of)
    m = len(query)
    mark = _mark(query, token_at)
    shortest, reach = _lengths(floor, m, slack)
    count = 0
    for i in range(m):
        if query[i] < 0 or (i > 0 and query[i] == query[i - 1]):
            continue
        # A text whose first common token is this one has at most m - i in common.
        while reach >= shortest and reach - slack[reach] > m - i:
            reach -= 1
        token = token_at[query[i]]
        if token < len(first) - 1:
            row = _first_at_least(postings, first[token], first[token + 1], shortest)
            while row < first[token + 1] and postings[row, 1] <= reach:
                text, n, j = postings[row, 0], postings[row, 1], postings[row, 2]
                most = (m + n - _bits(mark ^ marks[row])) // 2
                if j <= slack[n] and most >= n - slack[n] and seen[text] != stamp:
                    seen[text] = stamp
                    bag = orders[starts[text] : starts[text + 1]]
                    common[count] = _common(query, bag, i, j, n - slack[n])
                    matches[count] = text
                    count += common[count] > 0
                row += 1
        row = heads[token]
        while row >= 0:
            text, n, j = links[row, 0], links[row, 1], links[row, 2]
            if shortest <= n <= reach and j <= slack[n]:
                most = (m + n - _bits(mark ^ link_marks[row])) // 2
                if most >= n - slack[n] and seen[text] != stamp:
                    seen[text] = stamp
                    bag = orders[starts[text] : starts[text + 1]]
                    common[count] = _common(query, bag, i, j, n - slack[n])
                    matches[count] = text
                    count += common[count] > 0
            row = links[row, 3]
    return count


@_jit
def _sorted_orders(tokens: Ints, order_of: Ints) -> Ints:
    """Return the order numbers of a query's tokens, ascending; -1 for unknown ones."""
    query = np.empty(len(tokens), np.int32)
    for place in range(len(tokens)):
        query[place] = order_of[tokens[place]] if tokens[place] >= 0 else -1
    query.sort()
    return query


@_jit
def _lengths(floor: float, m: int, slack: Ints) -> tuple[int, int]:
    """Fill `slack`; return the shortest and the longest text that can exceed the floor."""
    shortest, longest = len(slack), 0
    for n in range(1, len(slack)):
        need = least_common(floor, m, n)
        if need > m:
            break
        slack[n] = n - need
        longest = n
        if need <= n < shortest:
            shortest = n
    return shortest, longest
