"""The words of many ASCII texts as numbers: cut and looked up in compiled code.

A word is a run of letters and digits, in lower case. The letters of all different words lie one
after the other; a hash table with open addressing finds the number of each.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfinstruct.filters.novelty.overlap import _jit

# The lower-case letter or digit that a byte stands for; 0: none.
_LETTERS = np.array(
    [ord(chr(b).lower()) if b < 0x80 and chr(b).isalnum() else 0 for b in range(256)], np.uint8
)


class Words:
    """Different words, numbered in the order in which they are met."""

    def __init__(self) -> None:
        # Words and bytes that are in use.
        self._used = np.zeros(2, np.int64)
        self._places = np.zeros(1025, np.int64)
        self._letters = np.empty(8192, np.uint8)
        self._slots = np.full(4096, -1, np.int64)
        self._numbers: dict[str, int] = {}

    def cut(
        self, offsets: NDArray[np.int64], content: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the number of words of each text, -1 for one that is not ASCII, and all words.

        Args:
            offsets: where each text begins in `content`; one more entry for the end.
            content: the bytes of all texts.
        """
        count = len(offsets) - 1
        sizes = np.empty(count, np.int64)
        codes = np.empty((len(content) + count) // 2 + 1, np.int32)
        text = used = 0
        while True:
            text, used = _cut(
                *(text, used, offsets, content, _LETTERS, sizes, codes),
                *(self._used, self._places, self._letters, self._slots),
            )
            if text == count:
                return sizes, codes[:used].copy()
            self._make_room(int(offsets[text + 1] - offsets[text]))

    def number(self, word: str) -> int:
        """Return the number of a word; a new one has the next."""
        self._decode()
        known = self._numbers.get(word)
        if known is not None:
            return known
        content = np.frombuffer(word.encode("utf-8", "surrogatepass"), np.uint8)
        self._make_room(len(content))
        return int(_add(content, self._used, self._places, self._letters, self._slots))

    def numbers(self) -> dict[str, int]:
        """Return the number of each word."""
        self._decode()
        return self._numbers

    def _decode(self) -> None:
        """Take the words into the dictionary that compiled code has met."""
        first, end = len(self._numbers), int(self._used[0])
        if first == end:
            return
        places = self._places[first : end + 1].tolist()
        letters = self._letters[places[0] : places[-1]].tobytes()
        for number, (begin, stop) in enumerate(pairwise(places), start=first):
            word = letters[begin - places[0] : stop - places[0]]
            self._numbers[word.decode("utf-8", "surrogatepass")] = number

    def _make_room(self, size: int) -> None:
        """Make room for the words of a text of some bytes."""
        words, letters = self._used.tolist()
        while not _has_room(size, words, len(self._places), len(self._slots)):
            self._places = np.concatenate([self._places, np.zeros_like(self._places)])
            self._slots = np.full(2 * len(self._slots), -1, np.int64)
            _fill(self._used, self._places, self._letters, self._slots)
        while letters + size > len(self._letters):
            self._letters = np.concatenate([self._letters, np.empty_like(self._letters)])


@_jit
def _has_room(size: int, words: int, places: int, slots: int) -> bool:
    """Whether the words of a text of some bytes have room: a word is followed by another byte."""
    most = words + (size + 1) // 2 + 1
    return most < places and 2 * most < slots


@_jit
def _hash(letters: NDArray[np.uint8], begin: int, end: int) -> np.int64:
    """Return the FNV-1a hash of some bytes, in 31 bits."""
    mixed = np.uint64(1469598103934665603)
    for place in range(begin, end):
        mixed = (mixed ^ np.uint64(letters[place])) * np.uint64(1099511628211)
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(0x7FFFFFFF))


@_jit
def _find_or_add(
    begin: int,
    end: int,
    used: Any,
    places: NDArray[np.int64],
    letters: NDArray[np.uint8],
    slots: NDArray[np.int64],
) -> int:
    """Return the number of the word that was just written behind all letters in use.

    A slot has the hash of a word in its upper half and its number in the lower one. If the word is
    new, its letters count as used.
    """
    own = _hash(letters, begin, end)
    slot = own & (len(slots) - 1)
    while slots[slot] >= 0:
        if slots[slot] >> 32 == own:
            word = slots[slot] & 0xFFFFFFFF
            first, size = places[word], end - begin
            if places[word + 1] - first == size:
                same = True
                for place in range(size):
                    if letters[first + place] != letters[begin + place]:
                        same = False
                        break
                if same:
                    return int(word)
        slot = (slot + 1) & (len(slots) - 1)
    word = used[0]
    slots[slot] = (own << 32) | word
    places[word + 1] = end
    used[0] = word + 1
    used[1] = end
    return int(word)


@_jit
def _add(
    content: NDArray[np.uint8],
    used: Any,
    places: NDArray[np.int64],
    letters: NDArray[np.uint8],
    slots: NDArray[np.int64],
) -> int:
    """Return the number of a word, which there is room for."""
    begin = used[1]
    letters[begin : begin + len(content)] = content
    return _find_or_add(begin, begin + len(content), used, places, letters, slots)


@_jit
def _fill(
    used: Any,
    places: NDArray[np.int64],
    letters: NDArray[np.uint8],
    slots: NDArray[np.int64],
) -> None:
    """Enter all words into slots that are empty."""
    for word in range(used[0]):
        own = _hash(letters, places[word], places[word + 1])
        slot = own & (len(slots) - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = (own << 32) | word


@_jit
def _cut(
    text: int,
    count: int,
    offsets: NDArray[np.int64],
    content: NDArray[np.uint8],
    lower: NDArray[np.uint8],
    sizes: NDArray[np.int64],
    codes: NDArray[np.int32],
    used: Any,
    places: NDArray[np.int64],
    letters: NDArray[np.uint8],
    slots: NDArray[np.int64],
) -> Any:
    """Write the words of texts from `text` on, behind the `count` that are there.

    Returns the text that there was no room for, or the number of texts; and how many words there
    are now.
    """
    for number in range(text, len(offsets) - 1):
        begin, end = offsets[number], offsets[number + 1]
        no_room = used[1] + end - begin > len(letters)
        if no_room or not _has_room(end - begin, used[0], len(places), len(slots)):
            return number, count
        first, is_ascii = count, True
        at = used[1]
        for place in range(begin, end + 1):
            letter = lower[content[place]] if place < end else 0
            if letter:
                letters[at] = letter
                at += 1
                continue
            if at > used[1]:
                codes[count] = _find_or_add(used[1], at, used, places, letters, slots)
                count += 1
                at = used[1]
            if place < end and content[place] >= 0x80:
                is_ascii = False
                break
        if is_ascii:
            sizes[number] = count - first
        else:
            sizes[number], count = -1, first
    return len(offsets) - 1, count
