"""As it was: `selfinstruct/verdicts/parse/spans.py`."""

from __future__ import annotations

from typing import NamedTuple

_ORNAMENT = frozenset("*#-_=~•·|>—–\\")


class Span(NamedTuple):
    """A half-open range of characters."""

    start: int
    end: int


def trimmed(text: str, start: int, end: int) -> Span:
    """Return a range without the whitespace around it; one of nothing is empty."""
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    return Span(left, max(left, start + len(piece.rstrip())))


def last_line(text: str, start: int, end: int) -> int:
    """Return where the last line of a range starts; a line break at its end ends that line."""
    return text.rfind("\n", start, max(start, end - 1)) + 1 or start


def without_ornaments(text: str, start: int, end: int) -> Span:
    """Return a trimmed range without the lines at its end that hold only `---`, `**`, `###`."""
    start, end = trimmed(text, start, end)
    while start < end:
        line = last_line(text, start, end)
        words = text[line:end].strip()
        if not _ORNAMENT.issuperset(words):
            break
        end = line
    return trimmed(text, start, end)
