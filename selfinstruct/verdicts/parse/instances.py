"""Read the instances of an instruction, version 3: markers in any dress, and what lacks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from selfinstruct.common.records import Markers, ParsedInstance
from selfinstruct.verdicts.parse.chat import cut_words, without_chat
from selfinstruct.verdicts.parse.many import first_markers, rest_as_instance
from selfinstruct.verdicts.parse.markers import (
    LEADING_OUTPUTS,
    OTHER_INPUTS,
    OTHER_LABELS,
    OTHER_OUTPUTS,
    Marker,
    Role,
    find_inline,
    find_markers,
    may_be_inline,
    may_have,
)
from selfinstruct.verdicts.parse.no_input import is_no_input
from selfinstruct.verdicts.parse.pairs import Pair, input_first_pairs, output_first_pairs
from selfinstruct.verdicts.parse.sections import end_of_own, value_span
from selfinstruct.verdicts.parse.spans import NOWHERE, Span


def read_direct(text: str, finish_reason: str) -> list[ParsedInstance]:
    """Take the whole completion as the output of a task, without the chat around it.

    A marker of outputs that the model wrote before its answer is none of it.
    """
    found = find_markers(text, ((Role.OUTPUT, LEADING_OUTPUTS),))
    leads = bool(found) and not text[: found[0].start].strip()
    start = found[0].after if leads else 0
    span = value_span(text, start, len(text))
    if span.start == span.end:
        return []
    pairs, preamble = [Pair(NOWHERE, span)], Span(0, start)
    return _mark_last(text, _instances(text, pairs, preamble, Markers()), finish_reason)


def read_input_first(
    text: str, finish_reason: str, markers: Markers, *, opened: str | None, most: int | None = None
) -> list[ParsedInstance]:
    """Read `Input: … Output: …` pairs.

    What stands before an output under another label, or none, is its input. A second output
    without an input before it is a part of the first, unless the text sets it apart (sections.py).

    Args:
        text: the completion.
        finish_reason: "length" marks the last instance as truncated.
        markers: the words that start an input and an output.
        opened: the marker that the prompt ended with, if any.
        most: instances that are read (since version 6); None for all.
    """
    found = _with_opened(text, _input_first_markers(text, markers, opened), markers, opened)
    end = end_of_own(text, found)
    found = [marker for marker in found if marker.start < end]
    found, rest = first_markers(found, Role.INPUT, most)
    pairs, preamble, cut_off = input_first_pairs(text, found, end if rest is None else rest)
    instances = _instances(text, pairs, preamble, markers)
    if rest is not None:
        return instances + rest_as_instance(text, rest, end)
    # If the text ends in an input without an output, that was cut off, and not an instance.
    return instances if cut_off else _mark_last(text, instances, finish_reason)


def read_output_first(
    text: str, finish_reason: str, markers: Markers, *, opened: str | None, most: int | None = None
) -> list[ParsedInstance]:
    """Read `Label: … Input: …` pairs; what follows a label's line under another label is its input.

    Args:
        text: the completion.
        finish_reason: "length" marks the last instance as truncated.
        markers: the words that start a label and an input.
        opened: the marker that the prompt ended with, if any.
        most: instances that are read (since version 6); None for all.
    """
    words = {Role.LABEL: (markers.label,), Role.INPUT: (markers.input,)}
    others = {Role.LABEL: OTHER_LABELS, Role.INPUT: OTHER_INPUTS}
    found = _found(text, words, others if opened is None else {Role.INPUT: OTHER_INPUTS})
    found = _with_opened(text, found, markers, opened)
    if not any(marker.role is Role.LABEL for marker in found):
        return []
    end = end_of_own(text, found)
    found = [marker for marker in found if marker.start < end]
    found, rest = first_markers(found, Role.LABEL, most)
    pairs, preamble = output_first_pairs(text, found, end if rest is None else rest)
    instances = _instances(text, pairs, preamble, markers)
    if rest is not None:
        return instances + rest_as_instance(text, rest, end)
    return _mark_last(text, instances, finish_reason)


def _input_first_markers(text: str, markers: Markers, opened: str | None) -> list[Marker]:
    """Return the markers of inputs and outputs, by other words where the templates' never occur."""
    words = {Role.INPUT: (markers.input,), Role.OUTPUT: (markers.output,)}
    found = _found(text, words, {Role.INPUT: OTHER_INPUTS})
    if opened == markers.output or any(marker.role is Role.OUTPUT for marker in found):
        return found
    others = _found(text, {**words, Role.OUTPUT: OTHER_OUTPUTS}, {Role.INPUT: OTHER_INPUTS})
    outputs = [marker for marker in others if marker.role is Role.OUTPUT]
    has_input = opened is not None or len(outputs) < len(others)
    if outputs and (has_input or not text[: outputs[0].start].strip()):
        return others
    return _with_inline(text, found, markers, opened)


def _with_inline(
    text: str, found: Sequence[Marker], markers: Markers, opened: str | None
) -> list[Marker]:
    """Add the outputs that stand on the line of their input."""
    if not may_be_inline(text, markers.output):
        return list(found)
    starts = [marker.after for marker in found]
    stops = [*(marker.start for marker in found), len(text)][1:]
    if opened is not None:
        starts = [0, *starts]
        stops = [found[0].start, *stops] if found else [len(text)]
    inline = [
        find_inline(text, markers.output, start, stop)
        for start, stop in zip(starts, stops, strict=True)
    ]
    both = [*found, *(marker for marker in inline if marker is not None)]
    return sorted(both, key=lambda marker: marker.start)


def _found(
    text: str, words: Mapping[Role, tuple[str, ...]], others: Mapping[Role, tuple[str, ...]]
) -> list[Marker]:
    found = find_markers(text, tuple(words.items()))
    missing = {role for role in others if not any(marker.role is role for marker in found)}
    if not missing or not may_have(text, words, {role: others[role] for role in missing}):
        return found
    more = {role: others[role] if role in missing else own for role, own in words.items()}
    return find_markers(text, tuple(more.items()))


def _with_opened(
    text: str, found: list[Marker], markers: Markers, opened: str | None
) -> list[Marker]:
    """Put the marker that the prompt ended with before the others, unless the text repeats it."""
    roles = {markers.input: Role.INPUT, markers.output: Role.OUTPUT, markers.label: Role.LABEL}
    if opened is None or opened not in roles:
        return found
    role = roles[opened]
    repeats = bool(found) and found[0].role is role and not text[: found[0].start].strip()
    return found if repeats else [Marker(role, 0, 0), *found]


def _instances(
    text: str, pairs: Sequence[Pair], preamble: Span, markers: Markers
) -> list[ParsedInstance]:
    """Return the pairs as instances; what stands before them is recorded with the first."""
    instances = [_instance(text, pair, markers) for pair in pairs]
    if instances:
        words = [cut_words(text, preamble), instances[0].cut]
        instances[0] = replace(instances[0], cut="\n".join(filter(None, words)) or None)
    return instances


def _instance(text: str, pair: Pair, markers: Markers) -> ParsedInstance:
    input = text[slice(*pair.input)]
    input_span = pair.input
    if is_no_input(input, markers.no_input):
        input, input_span = "", NOWHERE
    output_span, cut = without_chat(text, pair.output)
    output = text[slice(*output_span)]
    return ParsedInstance(input, output, input_span, output_span, truncated=False, cut=cut)


def _mark_last(
    text: str, instances: list[ParsedInstance], finish_reason: str
) -> list[ParsedInstance]:
    """Mark the last instance as truncated if the token limit was met within it."""
    if instances and finish_reason == "length":
        last = instances[-1]
        ends = (last.input_span[1], last.output_span[1])
        if not text[max(ends) :].strip():
            instances[-1] = replace(last, truncated=True)
    return instances
