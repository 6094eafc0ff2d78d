"""Find pooled texts that a longer text holds whole, word for word.

Every pooled text is found by its first eight words. So a query is compared with the texts that
start as it goes on at some place: its cost grows with its own length, not with the pool.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.filters.copies import own_starts, weight, words_of

_FIRST = 8


class HeldTexts:
    """Pooled texts of eight words or more, numbered as they are added."""

    def __init__(self) -> None:
        self._size = 0
        # Hashes of the first words; equal hashes are compared word for word. One number is far
        # more common than a list of them, and takes less memory.
        self._by_start: dict[int, int | list[int]] = {}

    def __len__(self) -> int:
        return self._size

    def add(self, text: str) -> None:
        """Add the next text."""
        number = self._size
        self._size += 1
        words = words_of(text)
        if weight(words) < _FIRST:
            return
        start = hash(tuple(words[:_FIRST]))
        others = self._by_start.get(start)
        if others is None:
            self._by_start[start] = number
        elif isinstance(others, int):
            self._by_start[start] = [others, number]
        else:
            others.append(number)

    def find(self, text: str, texts: Sequence[str]) -> int | None:
        """Return the number of the pooled text that a text holds first, or None.

        Args:
            text: the query. What follows its colon or is quoted may be its input: a text that
                starts there is not held.
            texts: the pooled texts by number.
        """
        words, own = own_starts(text)
        for place in range(len(words) - _FIRST + 1):
            if not own[place]:
                continue
            numbers = self._by_start.get(hash(tuple(words[place : place + _FIRST])))
            for number in [numbers] if isinstance(numbers, int) else numbers or ():
                held = words_of(texts[number])
                if words[place : place + len(held)] == held:
                    return number
        return None
