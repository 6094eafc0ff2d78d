r"""Look at a long text in a few steps of C, where a pattern would be tried at every character.

A pattern that starts with `^`, `\\b`, a lookbehind, or a letter in any case costs 20 to 300 ns for
each character. Finding the words that it cannot do without costs less than one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")

# In Python's `re`, these are the same letter without regard to case, but not in lower case.
_SAME_LETTERS = tuple(zip("ıſᲀᲁᲂᲃᲄᲅᲆ", "isвдосттъ", strict=True))  # noqa: RUF001
# With fewer characters, one call for each of them costs less than an array.
_SHORT = 2_000

# What `str.splitlines` splits at.
_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_FILLED_LINE = re.compile(rf"\S[^{_BREAKS}]*+")

_WORDS_OF_ASCII = {
    marks: bytes(
        ord(chr(code).lower()) if chr(code).isalnum() or chr(code) in marks else ord(" ")
        for code in range(128)
    )
    + b" " * 128
    for marks in ("", "_")
}


@lru_cache(maxsize=4)
def folded(text: str) -> str:
    """Return a text in lower case, character by character: its places are those of the text.

    What a pattern with `re.IGNORECASE` takes for a word becomes this word, if the word's letters
    are Latin or Cyrillic, or have no case.
    """
    if text.isascii():
        return text.lower()
    low = text.replace("İ", "i").lower()
    for letter, same in _SAME_LETTERS:
        low = low.replace(letter, same)
    return low


def has_any(text: str, words: Iterable[str]) -> bool:
    """Whether a text has one of some strings."""
    for word in words:  # noqa: SIM110 (twice as fast as `any`)
        if word in text:
            return True
    return False


def lines_with(
    text: str, words: Iterable[str], start: int = 0, end: int | None = None
) -> list[int]:
    """Return where the lines of a range start that have one of some words, in order.

    Args:
        text: the text.
        words: in lower case; none has a line break. They are found in any case.
        start: where the range starts; a line that starts before it is left out.
        end: where it ends.
    """
    low, end = folded(text), len(text) if end is None else min(end, len(text))
    starts: set[int] = set()
    for word in words:
        place = low.find(word, start, end)
        while place >= 0:
            starts.add(text.rfind("\n", 0, place) + 1)
            line_end = text.find("\n", place, end)
            place = low.find(word, line_end, end) if line_end >= 0 else -1
    return sorted(place for place in starts if place >= start)


def at_lines(text: str, body: re.Pattern[str], line: re.Pattern[str]) -> Iterator[re.Match[str]]:
    r"""Yield the matches of a pattern at the starts of lines; it matches within one line.

    Args:
        text: the text.
        body: `\A` and the pattern, so that a search is a match too.
        line: a line break and the pattern. It skips the lines; one that starts with `^` does not.
    """
    first = body.match(text)
    if first:
        yield first
    yield from line.finditer(text)


def has_lines(text: str, number: int) -> bool:
    """Whether a text has so many lines or more that are not blank, as `splitlines` splits it."""
    return sum(1 for _ in islice(_FILLED_LINE.finditer(text), number)) == number


def last_line(text: str) -> str:
    """Return the last line, as `splitlines` splits a text that ends in no line break."""
    return text[max(map(text.rfind, _BREAKS)) + 1 :]


def last(found: Iterable[T]) -> T | None:
    """Return the last of what an iterator yields, or None."""
    kept = deque(found, maxlen=1)
    return kept[0] if kept else None


def count(text: str, test: Callable[[str], bool]) -> int:
    """Return how many characters of a text pass a test."""
    if len(text) < _SHORT:
        return sum(map(test, text))
    import numpy as np

    counts = np.bincount(_codes(text))
    return sum(int(counts[code]) for code in np.flatnonzero(counts) if test(chr(code)))


def characters(text: str) -> Iterable[str]:
    """Return the characters of a text, each once."""
    if len(text) < _SHORT:
        return set(text)
    import numpy as np

    return map(chr, np.flatnonzero(np.bincount(_codes(text))))


def each(text: str) -> list[str]:
    """Return the characters of a text, as `list` does; the same ones are one object."""
    if len(text) < _SHORT:
        return list(text)
    import numpy as np

    codes = _codes(text)
    known = np.flatnonzero(np.bincount(codes))
    numbers = np.zeros(int(known[-1]) + 1, dtype=np.int32)
    numbers[known] = np.arange(len(known))
    objects = np.array([chr(code) for code in known], dtype=object)
    return list(objects[numbers[codes]])


def spelled(text: str, letter: Callable[[str], str]) -> str:
    """Return a text with an ASCII letter in place of each character, by a function of it."""
    import numpy as np

    codes = _codes(text)
    letters = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.uint8)
    for code in np.flatnonzero(np.bincount(codes)):
        letters[code] = ord(letter(chr(code)))
    return str(letters[codes].tobytes(), "ascii")


def changes(spelling: str) -> int:
    """Return how often a letter differs from the one before it, in a text of ASCII letters."""
    import numpy as np

    letters = np.frombuffer(spelling.encode(), dtype=np.uint8)
    return int(np.count_nonzero(letters[1:] != letters[:-1]))


def spaced(text: str, spelling: str, *, alone: str, within: str) -> str:
    """Return a text with spaces between its words.

    Args:
        text: the text.
        spelling: of the text, see `spelled`.
        alone: letter of the characters that are a word each.
        within: letter of those that make up words; all others become spaces.
    """
    import numpy as np

    codes, letters = _codes(text), np.frombuffer(spelling.encode(), dtype=np.uint8)
    is_alone, is_within = letters == ord(alone), letters == ord(within)
    sizes = np.where(is_alone, 3, 1)
    places = np.cumsum(sizes) - sizes
    result = np.full(int(sizes.sum()), ord(" "), dtype="<u4")
    result[places[is_alone] + 1] = codes[is_alone]
    result[places[is_within]] = codes[is_within]
    return str(result.tobytes(), "utf-32-le", "surrogatepass")


def _codes(text: str) -> Any:
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def all_of(text: str, test: Callable[[str], bool]) -> bool:
    """Whether all characters of a text pass a test."""
    return all(map(test, text[:_SHORT])) and all(map(test, characters(text[_SHORT:])))


def ascii_words(text: str, marks: str = "") -> list[str]:
    """Return the runs of letters and digits of an ASCII text, in lower case.

    Args:
        text: the text.
        marks: `_` if it counts as a letter, else empty.
    """
    return text.encode().translate(_WORDS_OF_ASCII[marks]).decode().split()
