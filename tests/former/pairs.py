"""As it was: `selfinstruct/verdicts/parse/pairs.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfinstruct.verdicts.parse.markers import Marker, Role
from selfinstruct.verdicts.parse.sections import OpenOutput, before_first, next_input, value_span
from selfinstruct.verdicts.parse.spans import NOWHERE, Span, trimmed


@dataclass(frozen=True, slots=True)
class Pair:
    """The ranges of an input and its output; the input's is empty where there is none."""

    input: Span
    output: Span


def input_first_pairs(
    text: str, found: Sequence[Marker], end: int
) -> tuple[list[Pair], Span, bool]:
    """Return the pairs, what stands before the first, and whether the last input has no output.

    Args:
        text: the completion.
        found: markers of inputs and outputs, in order.
        end: where the text about this task ends.
    """
    pairs: list[Pair] = []
    preamble = trimmed(text, 0, found[0].start) if found else NOWHERE
    current: OpenOutput | None = None
    pending: Span | None = None
    searched = 0
    for place, marker in enumerate(found):
        stop = found[place + 1].start if place + 1 < len(found) else end
        if marker.role is Role.INPUT:
            if current is not None:
                pairs.append(_closed(text, current, marker.start))
                current = None
            pending = _with_earlier(
                text, found, place, pending, value_span(text, marker.after, stop)
            )
        elif current is None:
            input = pending
            if input is None:
                input, preamble = before_first(text, marker.start)
            current, pending = OpenOutput(input, pending is not None, marker), None
        else:
            following = next_input(text, searched, marker, current)
            if following is not None:
                pairs.append(_closed(text, current, following[0]))
                current = OpenOutput(following[1], given=False, marker=marker)
        searched = marker.after
    if current is not None:
        pairs.append(_closed(text, current, end))
    return pairs, preamble, pending is not None


def _closed(text: str, current: OpenOutput, stop: int) -> Pair:
    return Pair(current.input, value_span(text, current.marker.after, stop))


def _with_earlier(
    text: str, found: Sequence[Marker], place: int, pending: Span | None, span: Span
) -> Span:
    """Return an input together with the one before it, if both are parts of one: 1 and 2."""
    marker, before = found[place], found[place - 1]
    if pending is None or not before.number or marker.number != before.number + 1:
        return span
    start = trimmed(text, before.start, span.end).start if before.number == 1 else pending.start
    return Span(start, max(start, span.end))
