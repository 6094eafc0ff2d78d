"""Where a text quotes: from a mark that opens to the first one that closes, if that is near.

A pattern such as `“[^”]{0,600}”` looks at 600 characters behind each “ that nothing closes. In a
text of nothing else that takes seconds, so there the closing marks are looked for instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

Range = tuple[int, int]
# With no more of these, the pattern is faster.
_FEW = 100


@dataclass(frozen=True)
class Quotes:
    """One kind of quotation: the marks that open and close it, and its most characters within."""

    opening: str
    closing: str
    most: int

    def pattern(self) -> str:
        """Return the regular expression whose matches the spans are."""
        opening, closing = re.escape(self.opening), re.escape(self.closing)
        return f"[{opening}][^{closing}]{{0,{self.most}}}[{closing}]"

    def never_close(self, text: str) -> int:
        """Count the marks that can only open."""
        return sum(text.count(mark) for mark in self.opening if mark not in self.closing)

    def first(self, text: str, start: int, end: int) -> Range | None:
        """Return the first span that starts at `start` or later and ends before `end`."""
        while opened := self._opens.search(text, start, end):
            closed = self._closes.search(text, opened.end(), end)
            if closed is None:
                return None
            if closed.start() - opened.end() <= self.most:
                return opened.start(), closed.end()
            # Whatever opens before that closes there too, and is too far from it.
            start = closed.start() - self.most - 1
        return None

    @cached_property
    def _opens(self) -> re.Pattern[str]:
        return re.compile(f"[{re.escape(self.opening)}]")

    @cached_property
    def _closes(self) -> re.Pattern[str]:
        return re.compile(f"[{re.escape(self.closing)}]")


class Quoted:
    """Finds the spans of some kinds of quotation, each behind the one before."""

    def __init__(self, *kinds: Quotes) -> None:
        self._kinds = kinds
        self._pattern = re.compile("|".join(kind.pattern() for kind in kinds))

    def spans(self, text: str, end: int | None = None) -> Iterator[Range]:
        """Yield (start, end) of every quotation up to `end`, with its marks."""
        end = len(text) if end is None else end
        if sum(kind.never_close(text) for kind in self._kinds) <= _FEW:
            yield from (match.span() for match in self._pattern.finditer(text, 0, end))
            return
        place = 0
        nearest = [kind.first(text, 0, end) for kind in self._kinds]
        while any(nearest):
            span = min(filter(None, nearest))
            yield span
            place = span[1]
            nearest = [
                kind.first(text, place, end) if own and own[0] < place else own
                for kind, own in zip(self._kinds, nearest, strict=True)
            ]

    def replaced(self, text: str, by: str) -> str:
        """Return a text with another in place of each quotation."""
        if sum(kind.never_close(text) for kind in self._kinds) <= _FEW:
            return self._pattern.sub(by.replace("\\", r"\\"), text)
        pieces, place = [], 0
        for start, end in self.spans(text):
            pieces += [text[place:start], by]
            place = end
        return "".join([*pieces, text[place:]])
