"""Separate the thinking part of a completion from its answer, in the marks of every known model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Channel:
    """The marks around a thinking part.

    alone: the end mark by itself shows that what stands before it was thought, since no other text
        has it; templates often open the part themselves. A tag that ordinary XML may have does not.
    """

    opens: str
    closes: str
    alone: bool = True


CHANNELS = (
    Channel("<think>", "</think>"),
    Channel("<seed:think>", "</seed:think>"),
    Channel("<longcat_think>", "</longcat_think>"),
    Channel("◁think▷", "◁/think▷"),
    Channel("[THINK]", "[/THINK]"),
    Channel("<|begin_of_thought|>", "<|end_of_thought|>"),
    Channel("<|START_THINKING|>", "<|END_THINKING|>"),
    Channel("<unused94>", "<unused95>"),
    Channel("<thinking>", "</thinking>", alone=False),
    Channel("<thought>", "</thought>", alone=False),
    Channel("<thoughts>", "</thoughts>", alone=False),
    Channel("<reasoning>", "</reasoning>", alone=False),
    Channel("<scratchpad>", "</scratchpad>", alone=False),
)
# Marks around the answer behind the thinking part.
ANSWERS = (
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]"),
)
# The channels of the harmony format: each message names its own, and the answer's is `final`.
_MESSAGE = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>(\w+)[^<]{0,80}<\|message\|>")
_MESSAGE_END = re.compile(r"<\|(?:end|return|call)\|>")
# The same where decoding left out its special tokens.
_BARE_START, _BARE_FINAL = "analysis", "assistantfinal"

# Special tokens that say where thinking is; decoding leaves them out of the text.
MARKS = frozenset(
    [
        *(mark for channel in CHANNELS for mark in (channel.opens, channel.closes)),
        *(mark for marks in ANSWERS for mark in marks),
        *("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>"),
    ]
)


def opens_thinking(prompt: str) -> bool:
    """Whether a rendered prompt already ends within the thinking part."""
    return prompt.rstrip().endswith(tuple(channel.opens for channel in CHANNELS))


def begins_with_thinking(answer: str) -> bool:
    """Whether a written answer begins with a thinking part of its own."""
    channel = _opened_by(answer)
    return channel is not None and channel.alone


def continued_thinking(prompt: str, answer: str) -> str:
    """Return an answer as it continues a prompt: what the prompt has opened is not opened again."""
    channel = _opened_by(answer)
    if channel is None or not prompt.rstrip().endswith(channel.opens):
        return answer
    thought = answer.lstrip()[len(channel.opens) :]
    return thought.lstrip() if prompt != prompt.rstrip() else thought


def split_thinking(text: str, *, opened: bool) -> tuple[str | None, str, int]:
    """Return (thinking, answer, characters before the answer).

    Args:
        text: what the model wrote.
        opened: whether the prompt already ends within the thinking part.

    If thinking was cut off, the whole text is thinking and the answer is empty.
    """
    if not opened:
        messages = _split_messages(text)
        if messages is not None:
            return messages
    channel = _opened_by(text)
    if channel is None and not opened:
        end = _end_alone(text)
    else:
        closes = [channel] if channel is not None else CHANNELS
        end = _first_end(text, [one.closes for one in closes])
        if end < 0:
            return _thought(text), "", len(text)
    if end < 0:
        return None, text, 0
    following = _opened_by(text, end)
    while following is not None:  # some models think in several parts, one behind the other
        next_end = text.find(following.closes, end)
        if next_end < 0:
            return _thought(text), "", len(text)
        end = next_end + len(following.closes)
        following = _opened_by(text, end)
    start, stop = _unwrapped(text, end)
    return _thought(text[:end]), text[start:stop], start


@dataclass(frozen=True, slots=True)
class Written:
    """A completion's text, and the characters of it that each token wrote."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


def apart(
    written: Written, marks: Sequence[tuple[int, str]] = (), *, opened: bool
) -> tuple[str | None, Written]:
    """Return the thinking, and the answer with the ranges of its tokens.

    A token of the thinking has an empty range.

    Args:
        written: what the model wrote.
        marks: the special tokens that decoding left out and that are in `MARKS`, in order, each
            with its place in the text.
        opened: whether the prompt already ends within the thinking part.
    """
    text = written.text
    marked, place = "", 0
    for at, mark in marks:
        marked += text[place:at] + mark
        place = at
    marked += text[place:]
    thinking, answer, start = split_thinking(marked, opened=opened)
    if thinking is None:
        return None, written
    first, last = _unmarked(start, marks), _unmarked(start + len(answer), marks)
    return thinking, Written(
        text[first:last],
        [min(max(0, place - first), last - first) for place in written.starts],
        [min(max(0, place - first), last - first) for place in written.ends],
    )


def _unmarked(place: int, marks: Sequence[tuple[int, str]]) -> int:
    """Return the place in a text without marks of a place in the text with them."""
    added = 0
    for at, mark in marks:
        if at + added + len(mark) <= place:
            added += len(mark)
    return place - added


def _split_messages(text: str) -> tuple[str, str, int] | None:
    """Split a text of the harmony format; None for any other."""
    first = _MESSAGE.match(text.lstrip())
    if first is None:
        start = text.find(_BARE_FINAL)
        if not text.startswith(_BARE_START) or start < 0:
            return None
        answer = start + len(_BARE_FINAL)
        return text[len(_BARE_START) : start].strip(), text[answer:], answer
    final = next((m for m in _MESSAGE.finditer(text) if m[1] == "final"), None)
    thought = _MESSAGE.sub("", text if final is None else text[: final.start()])
    thought = _MESSAGE_END.sub("\n", thought).strip()
    if final is None:
        return thought, "", len(text)
    end = _MESSAGE_END.search(text, final.end())
    return thought, text[final.end() : end.start() if end else len(text)], final.end()


def _opened_by(text: str, place: int = 0) -> Channel | None:
    """Return the channel that starts at a place, behind a little space."""
    start = text[place : place + 200].lstrip()
    return next((channel for channel in CHANNELS if start.startswith(channel.opens)), None)


def _end_alone(text: str) -> int:
    """Return the place behind an end mark without a start; -1 if there is none.

    A text that writes both marks somewhere speaks of them.
    """
    for channel in CHANNELS:
        place = text.find(channel.closes) if channel.alone else -1
        if place >= 0 and channel.opens not in text[:place]:
            return place + len(channel.closes)
    return -1


def _first_end(text: str, closes: Sequence[str]) -> int:
    """Return the place behind the first of the end marks; -1 if there is none."""
    ends = [(text.find(mark), len(mark)) for mark in closes]
    return min((place + length for place, length in ends if place >= 0), default=-1)


def _unwrapped(text: str, start: int) -> tuple[int, int]:
    """Return the range of an answer without the marks around the whole of it."""
    left = len(text) - len(text[start:].lstrip())
    for opens, closes in ANSWERS:
        if text.startswith(opens, left):
            end = text.rfind(closes, left)
            return left + len(opens), end if end >= 0 else len(text)
    return start, len(text)


def _thought(text: str) -> str:
    for channel in CHANNELS:
        for mark in (channel.opens, channel.closes):
            text = text.replace(mark, "")
    return text.strip()
