"""Read the instructions of a proposal, version 3: a list in whatever form the model gave it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from selfinstruct.common.records import ParsedInstruction
from selfinstruct.verdicts.parse.chat import closing_start, cut_words, is_announcement
from selfinstruct.verdicts.parse.items import Item, instruction_of
from selfinstruct.verdicts.parse.many import first_items, rest_as_instruction
from selfinstruct.verdicts.parse.marks import (
    Mark,
    bullet_marks,
    inline_marks,
    looks_whole,
    next_number_start,
    number_marks,
)
from selfinstruct.verdicts.parse.nested import Listing, is_inside, nested_until
from selfinstruct.verdicts.parse.spans import Span, trimmed
from selfinstruct.verdicts.parse.unnumbered import whole_lines


def read_list(
    text: str,
    finish_reason: str,
    *,
    first_number: int,
    continues: bool,
    tag: str = "",
    most: int | None = None,
) -> list[ParsedInstruction]:
    """Split a list into instructions.

    Args:
        text: the completion.
        finish_reason: "length" marks the last item as truncated.
        first_number: number of the first new item.
        continues: the prompt ended with that number, so the text starts within its item;
            otherwise the text before the first item is a preamble, or an item without its number.
        tag: text before every task of the prompt's list, such as their domain; it is removed
            from an item that repeats it.
        most: items that are read (since version 6); None for all.

    A list that starts again is read too: its items are candidates like the others, and a rule
    rejects those that the prompt showed.
    """
    items, opening = _numbered(text, first_number, continues)
    if len(items) <= 1:
        items, opening = _without_numbers(text, items, opening, continues)
    if not items:
        return []
    closing = _closing(text, items)
    end = closing if closing < len(text) else items[-1].end
    items[-1] = items[-1].ending(end)
    items, rest = first_items(items, most)
    read = [instruction_of(text, item, tag) for item in items]
    instructions = [instruction for instruction in read if instruction is not None]
    if not instructions:
        return []
    last = instructions[-1]
    if finish_reason == "length" and not text[last.end :].strip(" \t\r\n*_"):
        instructions[-1] = replace(last, truncated=True)
    ends = ((opening.start, opening.end), (closing, len(text)))
    if rest is not None:
        instructions += rest_as_instruction(text, rest, end)
    return _with_cuts(instructions, *(cut_words(text, place) for place in ends))


def _with_cuts(
    instructions: list[ParsedInstruction], opening: str | None, closing: str | None
) -> list[ParsedInstruction]:
    """Record with the first item what stood before the list, with the last what stood after."""
    for place, words, before in ((0, opening, True), (-1, closing, False)):
        if words is not None:
            item = instructions[place]
            both = (words, item.cut) if before else (item.cut, words)
            instructions[place] = replace(item, cut="\n".join(filter(None, both)))
    return instructions


def _numbered(text: str, first_number: int, continues: bool) -> tuple[list[Item], Span]:
    """Return the items by their numbers, and the range of what stands before the first."""
    marks = number_marks(text)
    if not continues:
        marks = marks[_first_place(marks, first_number) :]
    items: list[Item] = [Item(first_number, 0, len(text))] if continues else []
    opening = Span(0, 0)
    if not continues:
        if not marks:
            return _on_one_line(text, first_number), opening
        opening = trimmed(text, 0, marks[0].start)
        items, opening = _before_first(text, opening, marks[0], first_number)
    listing = Listing(text, marks, _list_indent(marks, first_number, continues), first_number - 1)
    place, highest = 0, max(first_number - 1, *(item.number for item in items), 0)
    while place < len(marks):
        mark = marks[place]
        if items:
            current = items[-1]
            behind = nested_until(listing, place, current.number, current.start)
            if behind > place:
                place = behind
                continue
            if is_inside(listing, mark, current.number, highest):
                place += 1
                continue
            items[-1] = current.ending(mark.start)
        items.append(Item(mark.number, mark.after, len(text), heading=mark.heading))
        highest = max(highest, mark.number)
        place += 1
    numbers = {item.number for item in items}
    return [part for item in items for part in _split_line(text, item, numbers)], opening


def _first_place(marks: Sequence[Mark], first_number: int) -> int:
    """Return the place of the mark that starts the list: not of a number in the preamble."""
    expected = (1, first_number, first_number + 1)
    start = next((place for place, mark in enumerate(marks) if mark.number in expected), 0)
    while start > 0 and marks[start - 1].number == marks[start].number - 1:
        start -= 1
    return start


def _list_indent(marks: Sequence[Mark], first_number: int, continues: bool) -> int:
    if not continues:
        return marks[0].indent
    following = (mark.indent for mark in marks if mark.number == first_number + 1)
    return next(following, 0)


def _before_first(text: str, span: Span, mark: Mark, first_number: int) -> tuple[list[Item], Span]:
    """Return the item without a number before the first mark, if there is one, and the preamble."""
    if mark.number not in (2, first_number + 1) or span.start == span.end:
        return [], span
    gap = text.rfind("\n", span.start, span.end) + 1
    start = gap or span.start
    last = text[start : span.end]
    if is_announcement(last) or last.rstrip(" *_").endswith((":", "：")) or not looks_whole(last):
        return [], span
    return [Item(mark.number - 1, start, mark.start)], trimmed(text, span.start, start)


def _split_line(text: str, item: Item, numbers: Collection[int]) -> list[Item]:
    """Return the items that stand on one line, and cut off the number of the next one.

    Args:
        text: the completion.
        item: the range up to the next number at the start of a line.
        numbers: of all items; what a line starts with is no mark within another line.
    """
    marks = (
        [] if item.number + 1 in numbers else inline_marks(text, item.start, item.end, item.number)
    )
    parts = [item]
    for mark in marks:
        parts[-1] = parts[-1].ending(mark.start)
        parts.append(Item(mark.number, mark.after, item.end))
    last = parts[-1]
    stripped = trimmed(text, last.start, last.end)
    end = next_number_start(text, last.start, max(stripped), last.number)
    return [*parts[:-1], last.ending(end) if end < max(stripped) else last]


def _on_one_line(text: str, first_number: int) -> list[Item]:
    """Return the items of a list within a line ("Here they are: 9. Name … 10. Name …")."""
    for number in (first_number, 1):
        marks = inline_marks(text, 0, len(text), number - 1)
        if len(marks) >= 2:
            ends = [*(mark.start for mark in marks[1:]), len(text)]
            return [Item(m.number, m.after, end) for m, end in zip(marks, ends, strict=True)]
    return []


def _without_numbers(
    text: str, items: list[Item], opening: Span, continues: bool
) -> tuple[list[Item], Span]:
    """Return the items of a list with bullets, or with a task on each line."""
    if items and not continues:
        return items, opening
    start, end = (items[0].start, items[0].end) if items else (0, len(text))
    bullets = [mark for mark in bullet_marks(text) if start <= mark.start < end]
    if bullets:
        return _bulleted(text, items, bullets, opening)
    number = items[0].number if items else 0
    lines, preamble = whole_lines(text, start, end)
    if not lines:
        return items, opening
    found = [Item(number + place, *line) for place, line in enumerate(lines)]
    return found, opening if continues else preamble


def _bulleted(
    text: str, items: list[Item], bullets: Sequence[Mark], opening: Span
) -> tuple[list[Item], Span]:
    indent = min(mark.indent for mark in bullets)
    outer = [mark for mark in bullets if mark.indent == indent]
    end = items[0].end if items else len(text)
    ends = [*(mark.start for mark in outer[1:]), end]
    found = [Item(0, mark.after, stop) for mark, stop in zip(outer, ends, strict=True)]
    whole = sum(looks_whole(text[item.start : item.end]) for item in found)
    if len(found) < 2 or 2 * whole < len(found):
        return items, opening
    if not items:
        return found, trimmed(text, 0, outer[0].start)
    before = trimmed(text, items[0].start, outer[0].start)
    if text[before.start : before.end].rstrip(" *_").endswith((":", "：")):
        return items, opening
    first = [items[0].ending(outer[0].start)] if before.start < before.end else []
    return [*first, *found], opening


def _closing(text: str, items: Sequence[Item]) -> int:
    """Return where the words after the list start; the end of the text if there are none.

    It is a chat closing, or a paragraph behind a list of single lines.
    """
    last = items[-1]
    place = closing_start(text, last.start, last.end)
    if place < last.end:
        return place
    span = trimmed(text, last.start, last.end)
    gap = re.search(r"\n[ \t]*\n", text[span.start : span.end])
    if gap is None or len(items) < 3:
        return len(text)
    ranges = (trimmed(text, item.start, item.end) for item in items[:-1])
    if any("\n" in text[slice(*range)] for range in ranges):
        return len(text)
    before = text[span.start : span.start + gap.start()]
    is_line = "\n" not in before and not before.rstrip(" *_").endswith((":", "："))
    return span.start + gap.start() if is_line else len(text)
