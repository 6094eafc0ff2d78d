"""Read a turn of a self-chat from its completion."""

from __future__ import annotations

from selfinstruct.common.records import ParsedInstance, Reading
from selfinstruct.common.versions import Versioned
from selfinstruct.verdicts.parse.chat import block_between, closing_start, cut_words, opening_end
from selfinstruct.verdicts.parse.spans import NOWHERE, Span, trimmed

_QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"))


def read_turn(text: str, finish_reason: str, reading: Reading) -> ParsedInstance:
    """Take the completion as one turn: the `output` of an instance without an input.

    The speaker's name before it, quotation marks around the whole, and what the model says about it
    ("Sure, here is the user's next message:") are cut off.

    Args:
        text: the completion.
        finish_reason: "length" marks the turn as truncated.
        reading: of the request; `tag` is the speaker's name.
    """
    span = _after_name(text, trimmed(text, 0, len(text)), reading.tag)
    start = opening_end(text, span.start, span.end)
    end = closing_start(text, start, span.end)
    words = cut_words(text, (span.start, start), (end, span.end))
    inner = block_between(text, span, start, end) if words else span
    inner = _after_name(text, inner, reading.tag)
    inner = _without_quotes(text, inner)
    turn = text[inner.start : inner.end]
    truncated = finish_reason == "length"
    return ParsedInstance("", turn, NOWHERE, inner if turn else NOWHERE, truncated, words)


def _after_name(text: str, span: Span, name: str) -> Span:
    """Return a span without the speaker's name at its start."""
    if name and text.startswith(name, span.start, span.end):
        return trimmed(text, span.start + len(name), span.end)
    return span


def _without_quotes(text: str, span: Span) -> Span:
    """Return a span without quotation marks around the whole of it."""
    turn = text[span.start : span.end]
    for opening, closing in _QUOTES:
        inner = turn[1:-1]
        around = len(turn) > 2 and turn[0] == opening and turn[-1] == closing
        if around and opening not in inner and closing not in inner:
            return trimmed(text, span.start + 1, span.end - 1)
    return span


READ_TURN = Versioned(read_turn)
"""By the version of self-chats (`CHATS_VERSION`), not of the rules."""
