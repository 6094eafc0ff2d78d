"""Spans of a text: half-open ranges of characters, without what surrounds a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

# Lines of these alone are rules, or marks that lost their text.
_ORNAMENT = frozenset("*#-_=~•·|>—–\\")


class Span(NamedTuple):
    """A half-open range of characters."""

    start: int
    end: int


NOWHERE = Span(0, 0)


def trimmed(text: str, start: int, end: int) -> Span:
    """Return a range without the whitespace around it; one of nothing is empty."""
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    return Span(left, max(left, start + len(piece.rstrip())))


def block(text: str, start: int, end: int) -> Span:
    """Return a range without blank lines around it, but with the indentation of its first line.

    Where the first line continues the line before it, its space is no indentation. Nor is a space
    or two before a single line.
    """
    left, right = trimmed(text, start, end)
    line = text.rfind("\n", max(0, start - 1), left) + 1
    indent = text[line:left] if line >= start else ""
    return Span(left - len(indent) if _is_indented(text, indent, left, right) else left, right)


def _is_indented(text: str, indent: str, left: int, right: int) -> bool:
    if len(indent) < 2 and "\t" not in indent:
        return False
    line = text.find("\n", left, right) + 1
    if not line:
        return len(indent) >= 4 or "\t" in indent
    return len(indent) >= 4 or text.startswith(indent, line)


def last_line(text: str, start: int, end: int) -> int:
    """Return where the last line of a range starts; a line break at its end ends that line."""
    return text.rfind("\n", start, max(start, end - 1)) + 1 or start


def without_ornaments(text: str, start: int, end: int) -> Span:
    """Return a trimmed range without the lines at its end that hold only `---`, `**`, `###`."""
    start, end = trimmed(text, start, end)
    kept = end_without(text, start, end, lambda line, _: _ORNAMENT.issuperset(line.strip()))
    return trimmed(text, start, kept)


def end_without(text: str, start: int, end: int, is_left_out: Callable[[str, bool], bool]) -> int:
    """Return where a range ends without some lines at its end; blank ones are left out too.

    Args:
        text: the text.
        start: start of the range.
        end: its end.
        is_left_out: of a line, and whether it is the first; a line that occurs again is asked
            about once.
    """
    known: dict[str, bool] = {}
    for line in reversed(text[start:end].split("\n")):
        first = end - len(line) <= start
        if line not in known or first:
            known[line] = not line.strip() or is_left_out(line, first)
        if not known[line]:
            return end
        end = max(start, end - len(line) - 1)
    return start


def without_open_fence(text: str, span: Span) -> Span:
    """Return a range without a code fence at its end that closes one before the range."""
    line = last_line(text, span.start, span.end)
    if text[line : span.end].strip() != "```" or text.count("```", span.start, span.end) % 2 == 0:
        return span
    return trimmed(text, span.start, line)
