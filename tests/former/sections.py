"""As it was: `selfinstruct/verdicts/parse/sections.py`."""

from __future__ import annotations

from selfinstruct.verdicts.parse.chat import is_announcement, opening_end
from selfinstruct.verdicts.parse.markers import Role
from selfinstruct.verdicts.parse.spans import Span, block, last_line, trimmed, without_open_fence
from tests.former.markers import find_examples, find_tasks


def value_span(text: str, start: int, stop: int) -> Span:
    """Return the range of a value, without the separators of examples at its end."""
    whole = block(text, start, stop)
    end = whole.end
    while end > whole.start:
        line = last_line(text, whole.start, end)
        if text[line:end].strip() and not _separates(text, line, end):
            break
        end = line
    if end <= whole.start:
        return whole
    return without_open_fence(text, Span(whole.start, trimmed(text, whole.start, end).end))


def _separates(text: str, start: int, end: int) -> bool:
    """Whether a line at the end of a value is no part of it. A row of stars may be."""
    examples = find_examples(text, start, end)
    return bool(examples) and not examples[0].word.startswith(("*", "_", "~"))


def before_first(text: str, stop: int) -> tuple[Span, Span]:
    """Return the input before the first output, under another label or none, and the preamble.

    Chat, "Example 1" and the task itself are no input.
    """
    start = opening_end(text, 0, stop)
    for line in (*find_examples(text, 0, stop), *find_tasks(text, stop)):
        if not text[start : line.start].strip():
            newline = text.find("\n", line.after, stop)
            start = line.after if line.role is Role.EXAMPLE else newline if newline >= 0 else stop
    span = value_span(text, start, stop)
    if is_announcement(text[slice(*span)]):
        return Span(stop, stop), trimmed(text, 0, stop)
    return span, trimmed(text, 0, span.start)
