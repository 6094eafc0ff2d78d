"""As it was: `selfinstruct/verdicts/parse/items.py`."""

from __future__ import annotations

import re

from selfinstruct.verdicts.parse.spans import Span, trimmed

_NOTE = re.compile(r"[ \t]*[-*•–][ \t]+\S")
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！")


def _without_notes(text: str, span: Span) -> Span:
    """Return the range of an instruction without the notes below it.

    A model that is asked for a list of tasks may answer or explain each of them in bullets. Those
    are whole sentences behind a finished one. Options to choose from, and what follows a colon, are
    parts of the task.
    """
    newline = text.find("\n", span.start, span.end)
    if newline < 0:
        return span
    line = text[span.start : newline].rstrip(" \t\r*_\"'”’)")
    notes = [note for note in text[newline : span.end].splitlines() if note.strip()]
    are_notes = line.endswith(_SENTENCE_ENDS) and all(map(_is_note, notes))
    return trimmed(text, span.start, newline) if are_notes else span


def _is_note(line: str) -> bool:
    match = _NOTE.match(line)
    words = line.rstrip(" \t\r*_\"'”’)")
    return match is not None and words.endswith(_SENTENCE_ENDS) and len(words.split()) >= 5
