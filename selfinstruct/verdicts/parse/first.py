"""The parsers of versions 1 and 2: runs of that time are read by them, so they stay as they are."""

from __future__ import annotations

import re
from dataclasses import replace

from selfinstruct.common.records import Markers, ParsedInstance, ParsedInstruction
from selfinstruct.common.scan import at_lines, has_any

_NUMBER = r"[ \t]*(?:\*\*|#+ )?(\d{1,4})[.)](?=\s|\*|$)"
_NUMBERED = (re.compile(rf"\A{_NUMBER}"), re.compile(rf"\n{_NUMBER}"))
# Marks of bold text at the edge of a word; 2**10 and 2 ** 10 do not match.
_BOLD = re.compile(r"\*\*(?:(?<!\w\*\*)(?! )|(?<! \*\*)(?!\w))")
_FURTHEST_SKIP = 5


def parse_proposal(
    text: str, finish_reason: str, *, first_number: int, continues: bool, tag: str = ""
) -> list[ParsedInstruction]:
    """Split a numbered list into instructions.

    Args:
        text: the completion.
        finish_reason: "length" marks the last item as truncated.
        first_number: number of the first new item.
        continues: the prompt ended with that number, so the text starts within its item
            (base prompting); otherwise the text before the first number is preamble.
        tag: text before every task of the prompt's list, such as their domain; it is removed
            from an item that repeats it.

    A line that starts with a number counts as the next item only if the number is a little
    above the last one: a list inside an instruction starts at 1 again and stays part of it.
    """
    bounds: list[tuple[int, int]] = []
    current = first_number if continues else 0
    start = 0 if continues else None
    for match in at_lines(text, *_NUMBERED):
        number = int(match.group(1))
        # A year at the start of a line is not an item either.
        if start is not None and not current < number <= current + _FURTHEST_SKIP:
            continue
        if start is not None:
            bounds.append((start, match.start()))
        current, start = number, match.end()
    if start is not None:
        bounds.append((start, len(text)))
    items = [_instruction(text, _after_tag(text, start, tag), end) for start, end in bounds]
    instructions = [item for item in items if item is not None]
    if instructions and items[-1] is not None and finish_reason == "length":
        instructions[-1] = replace(instructions[-1], truncated=True)
    return instructions


def _after_tag(text: str, start: int, tag: str) -> int:
    """Return where an item begins behind its tag, if it has one."""
    if not tag:
        return start
    pattern = re.compile(rf"\s*(?:an?\s+|the\s+)?{re.escape(tag)}", re.IGNORECASE)
    match = pattern.match(text, start)
    return match.end() if match else start


def parse_label(text: str, markers: Markers) -> bool:
    """Whether the completion calls the task classification (the paper: all else means no)."""
    return text.strip().casefold().startswith(markers.classification.casefold())


def parse_input_first(
    text: str, finish_reason: str, markers: Markers, *, opened: str | None
) -> list[ParsedInstance]:
    """Read `Input: … Output: …` pairs; an output with no input before it has an empty one.

    Args:
        text: the completion.
        finish_reason: "length" marks the last instance as truncated.
        markers: the words that start an input and an output.
        opened: the marker that the prompt ended with, if any.
    """
    instances: list[ParsedInstance] = []
    pending = (0, 0)
    for marker, start, end in _sections(text, (markers.input, markers.output), opened):
        if marker == markers.input:
            pending = _stripped(text, start, end)
        else:
            instances.append(_instance(text, pending, _stripped(text, start, end), markers))
            pending = (0, 0)
    if pending != (0, 0):  # the cut-off part is an input without an output, not an instance
        return instances
    return _mark_last(instances, finish_reason)


def parse_output_first(
    text: str, finish_reason: str, markers: Markers, *, opened: str | None
) -> list[ParsedInstance]:
    """Read `Label: … Input: …` pairs; a label with no input after it has an empty one."""
    instances: list[ParsedInstance] = []
    label: tuple[int, int] | None = None
    for marker, start, end in _sections(text, (markers.label, markers.input), opened):
        span = _stripped(text, start, end)
        if marker == markers.label:
            if label is not None:
                instances.append(_instance(text, (0, 0), label, markers))
            label = span
        elif label is not None:
            instances.append(_instance(text, span, label, markers))
            label = None
    if label is not None:
        instances.append(_instance(text, (0, 0), label, markers))
    return _mark_last(instances, finish_reason)


def parse_direct(text: str, finish_reason: str) -> list[ParsedInstance]:
    """Take the whole completion as the output of a task that needs no input."""
    span = _stripped(text, 0, len(text))
    if span[0] == span[1]:
        return []
    return _mark_last([_instance(text, (0, 0), span, Markers())], finish_reason)


def clean_instruction(raw: str) -> str:
    """Collapse whitespace; drop bold marks and quotation marks around the whole."""
    text = " ".join(raw.split())
    text = _BOLD.sub("", text).strip() if "**" in text else text
    for opening, closing in (('"', '"'), ("“", "”")):
        inner = text[1:-1]
        if len(text) > 2 and text[0] == opening and text[-1] == closing and opening not in inner:
            text = inner.strip()
    return text


def _instruction(text: str, start: int, end: int) -> ParsedInstruction | None:
    start, end = _stripped(text, start, end)
    raw = text[start:end]
    clean = clean_instruction(raw)
    return ParsedInstruction(start, end, raw, clean, truncated=False) if clean else None


def _sections(
    text: str, markers: tuple[str, ...], opened: str | None
) -> list[tuple[str, int, int]]:
    """Return (marker, start, end) of the text after each marker at the start of a line."""
    words = "|".join(map(re.escape, markers))
    pattern = re.compile(rf"(?:\A|\n)[ \t]*(?:\*\*)?({words})(?:\*\*)?")
    found = pattern.finditer(text) if has_any(text, markers) else ()
    marks = [(match.group(1), match.start(), match.end()) for match in found]
    repeats = bool(marks) and marks[0][0] == opened and not text[: marks[0][1]].strip()
    if opened is not None and not repeats:
        marks.insert(0, (opened, 0, 0))
    if not marks:
        return []
    ends = [start for _, start, _ in marks[1:]] + [len(text)]
    return [(marker, after, end) for (marker, _, after), end in zip(marks, ends, strict=True)]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    return (start + left, start + left + len(piece.strip()))


def _instance(
    text: str, input_span: tuple[int, int], output_span: tuple[int, int], markers: Markers
) -> ParsedInstance:
    input = text[slice(*input_span)]
    if input.casefold().strip(" .") in markers.no_input:
        input, input_span = "", (0, 0)
    return ParsedInstance(input, text[slice(*output_span)], input_span, output_span, False)


def _mark_last(instances: list[ParsedInstance], finish_reason: str) -> list[ParsedInstance]:
    if instances and finish_reason == "length":
        instances[-1] = replace(instances[-1], truncated=True)
    return instances
