"""Where inputs and outputs begin and end: separators, tasks of the model's own, other labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from selfinstruct.verdicts.parse.chat import is_announcement, opening_end
from selfinstruct.verdicts.parse.markers import (
    Marker,
    Role,
    find_examples,
    find_tasks,
    last_example,
    separates,
)
from selfinstruct.verdicts.parse.spans import (
    Span,
    block,
    end_without,
    trimmed,
    without_open_fence,
)

_OTHER_LABEL = re.compile(r"[^\W\d_][^\W_]*(?: [^\W_]+){0,3}[:：]")


@dataclass(frozen=True, slots=True)
class OpenOutput:
    """An output that has started, with its input; `given`: that stood behind its own marker."""

    input: Span
    given: bool
    marker: Marker


def value_span(text: str, start: int, stop: int) -> Span:
    """Return the range of a value, without the separators of examples at its end."""
    whole = block(text, start, stop)
    # Where the value starts within a line, its first line separates nothing.
    first = whole.start == 0 or text[whole.start - 1] == "\n"
    end = end_without(
        text, *whole, lambda line, is_first: separates(line) and (first or not is_first)
    )
    if end <= whole.start:
        return whole
    return without_open_fence(text, Span(whole.start, trimmed(text, whole.start, end).end))


def end_of_own(text: str, found: Sequence[Marker]) -> int:
    """Return where a model goes on with a task of its own ("###", "Task: …"), or the end.

    A line "Task:" within an answer is a part of it: one that starts a task stands behind a blank
    line or a separator, and has an output of its own.
    """
    answers = [marker.start for marker in found if marker.role is not Role.INPUT]
    if not answers:
        return len(text)
    for task in find_tasks(text):
        before = text[max(0, task.start - 80) : task.start].rstrip(" \t")
        is_apart = before.endswith("\n\n") or any(find_examples(before[-40:].rstrip("\n")[-8:]))
        is_next = answers[0] < task.start
        framed = "###" in before[-8:]
        if is_next and is_apart and (framed or answers[-1] > task.start):
            return task.start
    return len(text)


def before_first(text: str, stop: int) -> tuple[Span, Span]:
    """Return the input before the first output, under another label or none, and the preamble.

    Chat, "Example 1" and the task itself are no input.
    """
    start = opening_end(text, 0, stop)
    for lines in (find_examples(text, 0, stop), find_tasks(text, stop)):
        for line in lines:
            if text[start : line.start].strip():
                break  # and so for every later line
            newline = text.find("\n", line.after, stop)
            start = line.after if line.role is Role.EXAMPLE else newline if newline >= 0 else stop
    span = value_span(text, start, stop)
    if is_announcement(text[slice(*span)]):
        return Span(stop, stop), trimmed(text, 0, stop)
    return span, trimmed(text, 0, span.start)


def next_input(
    text: str, searched: int, marker: Marker, current: OpenOutput
) -> tuple[int, Span] | None:
    """Return where an output ends and the input of the next one, at a second output marker.

    None if the marker is a part of the output: where the first input stood behind its own marker,
    the next one would too. Otherwise the input of the next output is what a separator, the label of
    the first input, or a blank line sets apart.

    Args:
        text: the completion.
        searched: up to where the output is known to set nothing apart.
        marker: the second marker.
        current: the output so far.
    """
    start, stop, input = searched, marker.start, current.input
    follows = marker.number and marker.number == current.marker.number + 1
    if (
        not follows
        and start > 0
        and text[start - 1] != "\n"
        and text.find("\n", start, stop - 1) < 0
    ):
        return None  # on the next line: nothing stands between them
    last = last_example(text, start, stop)
    if last is not None:
        return last.start, trimmed(text, last.after, stop)
    label = None if current.given else _OTHER_LABEL.match(text, input.start, input.end)
    if label is not None:
        place = text.rfind(f"\n{label.group()}", start, stop)
        return None if place < 0 else (place, trimmed(text, place, stop))
    if follows:
        return stop, Span(stop, stop)
    if current.given:
        return None
    span = trimmed(text, start, stop)
    gap = text.rfind("\n\n", span.start, span.end)
    if input.start == input.end:
        # Without any input: outputs that blank lines keep apart are alternatives.
        is_apart = text[span.end : stop].count("\n") > 1
        return (stop, Span(stop, stop)) if is_apart else None
    if gap < 0 and "\n" not in text[slice(*input)]:
        gap = text.rfind("\n", span.start, span.end)
    return None if gap < 0 else (gap, trimmed(text, gap, stop))
