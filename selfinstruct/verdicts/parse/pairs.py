"""Pair the inputs and outputs of a completion by its markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

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
    input_role = Role.INPUT
    for place, (marker, following) in enumerate(zip_longest(found, found[1:])):
        stop = following.start if following is not None else end
        if marker.role is input_role:
            if current is not None:
                pairs.append(_closed(text, current, marker.start))
                current = None
            if _is_replaced(marker, following):
                pending = NOWHERE  # nobody reads it
            else:
                span = value_span(text, marker.after, stop)
                pending = _with_earlier(text, found, place, pending, span)
        elif current is None:
            input = pending
            if input is None:
                input, preamble = before_first(text, marker.start)
            current, pending = OpenOutput(input, pending is not None, marker), None
        else:
            apart = next_input(text, searched, marker, current)
            if apart is not None:
                pairs.append(_closed(text, current, apart[0]))
                current = OpenOutput(apart[1], given=False, marker=marker)
        searched = marker.after
    if current is not None:
        pairs.append(_closed(text, current, end))
    return pairs, preamble, pending is not None


def output_first_pairs(text: str, found: Sequence[Marker], end: int) -> tuple[list[Pair], Span]:
    """Return the pairs of labels and the inputs after them, and what stands before the first.

    Where the model wrote an input before its label all the same, they are paired in that order.
    """
    pairs: list[Pair] = []
    preamble = trimmed(text, 0, found[0].start) if found else NOWHERE
    has_inputs = any(marker.role is Role.INPUT for marker in found)
    turned = bool(found) and found[0].role is Role.INPUT
    waiting: Span | None = None
    for place, marker in enumerate(found):
        stop = found[place + 1].start if place + 1 < len(found) else end
        span = value_span(text, marker.after, stop)
        if turned:
            if marker.role is Role.LABEL:
                pairs.append(Pair(waiting or NOWHERE, span))
            waiting = span if marker.role is Role.INPUT else None
        elif marker.role is Role.INPUT:
            if waiting is not None:
                pairs.append(Pair(span, waiting))
            waiting = None
        else:
            if waiting is not None:
                pairs.append(Pair(NOWHERE, waiting))
            waiting = span
            newline = text.find("\n", span.start, span.end)
            if not has_inputs and newline >= 0:
                label = trimmed(text, span.start, newline)
                pairs.append(Pair(trimmed(text, newline, span.end), label))
                waiting = None
    if waiting is not None and not turned:
        pairs.append(Pair(NOWHERE, waiting))
    return pairs, preamble


def _closed(text: str, current: OpenOutput, stop: int) -> Pair:
    return Pair(current.input, value_span(text, current.marker.after, stop))


def _is_replaced(marker: Marker, following: Marker | None) -> bool:
    """Whether another input follows an input, and is no second part of it."""
    if following is None or following.role is not marker.role:
        return False
    return not marker.number or following.number != marker.number + 1


def _with_earlier(
    text: str, found: Sequence[Marker], place: int, pending: Span | None, span: Span
) -> Span:
    """Return an input together with the one before it, if both are parts of one: 1 and 2."""
    marker, before = found[place], found[place - 1]
    if pending is None or not before.number or marker.number != before.number + 1:
        return span
    start = trimmed(text, before.start, span.end).start if before.number == 1 else pending.start
    return Span(start, max(start, span.end))
