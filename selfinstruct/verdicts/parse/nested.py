"""Which marks belong to a list inside an instruction, and so start no item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfinstruct.verdicts.parse.chat import is_announcement
from selfinstruct.verdicts.parse.marks import Mark, looks_short

# A number may be a little above the one before it; a year at the start of a line is no item.
FURTHEST_SKIP = 5
# Marks that are looked at to see how far a list inside an instruction goes.
_FURTHEST_LOOK = 40
# Spaces by which a list inside an instruction is indented at least.
_LEAST_INDENT = 2


@dataclass(frozen=True, slots=True)
class Listing:
    """A text, its marks, the indentation of its list, and the number of tasks that were shown."""

    text: str
    marks: Sequence[Mark]
    indent: int
    shown: int


def nested_until(listing: Listing, place: int, current: int, item_start: int) -> int:
    """Return the place of the mark behind a list inside the current item; `place` if none is there.

    A list is inside an instruction if it starts at 1 and is indented, or stands behind a colon, or
    is short options behind which the outer list goes on. One as long as the list that was shown
    is that list again.

    Args:
        listing: the marks and their text.
        place: of the mark that may start a list inside the item.
        current: number of the item.
        item_start: where its text starts.
    """
    first = listing.marks[place]
    if first.number != 1:
        return place
    end = _run_end(listing, place, current)
    if first.indent >= listing.indent + _LEAST_INDENT:
        return end
    before = listing.text[item_start : first.start].strip(" \t\r\n*_")
    length = end - place
    if before.endswith((":", "：")):
        again = length >= max(4, listing.shown) or is_announcement(before)
        return place if again else end
    resumes = end < len(listing.marks) and listing.marks[end].number == current + 1
    if resumes and current > length and looks_short(_texts(listing, place, end)):
        return end
    return place


def is_inside(listing: Listing, mark: Mark, current: int, highest: int) -> bool:
    """Whether a mark that starts no list inside the item is still part of its text.

    Args:
        listing: the marks and their text.
        mark: the one in question.
        current: number of the item.
        highest: number up to which the list got, before it started again.
    """
    if mark.number == current + 1:
        return False
    if mark.indent >= listing.indent + _LEAST_INDENT or mark.number == 0:
        return True
    return not (
        mark.number <= current + FURTHEST_SKIP or highest < mark.number <= highest + FURTHEST_SKIP
    )


def _run_end(listing: Listing, place: int, current: int) -> int:
    """Return the place behind the marks that count on from 1."""
    marks, indent = listing.marks, listing.marks[place].indent
    number, end = 1, place + 1
    while end < len(marks) and end - place < _FURTHEST_LOOK:
        mark = marks[end]
        if mark.indent < indent:
            break
        if mark.indent == indent:
            if mark.number != number + 1:
                break
            is_outer = mark.number == current + 1 and indent < listing.indent + _LEAST_INDENT
            follows = marks[end + 1].number if end + 1 < len(marks) else 0
            if is_outer and follows != mark.number:
                break
            number = mark.number
        end += 1
    return end


def _texts(listing: Listing, place: int, end: int) -> list[str]:
    marks, text = listing.marks, listing.text
    return [text[marks[n].after : marks[n + 1].start] for n in range(place, end)]
