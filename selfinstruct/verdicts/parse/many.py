"""Where the reading of a completion ends that has more candidates than anybody asked for.

What follows is one candidate more, `is_rest`, so that nothing that the model wrote is without a
verdict. Of instances, twice as many markers are read: each has an input and an output.
"""

from __future__ import annotations

from selfinstruct.common.records import ParsedInstance, ParsedInstruction
from selfinstruct.verdicts.parse.items import Item
from selfinstruct.verdicts.parse.markers import Marker, Role
from selfinstruct.verdicts.parse.spans import NOWHERE, Span, trimmed


def first_items(items: list[Item], most: int | None) -> tuple[list[Item], int | None]:
    """Return the items that are read, and where those start that are not, if there are any."""
    if most is None or len(items) <= most:
        return items, None
    return items[:most], items[most].start


def first_markers(
    found: list[Marker], first: Role, most: int | None
) -> tuple[list[Marker], int | None]:
    """Return the markers that are read, and where those start that are not, if there are any.

    Args:
        found: the markers of a completion, in order.
        first: the role that an instance starts with; none is cut in two.
        most: instances that are read; None for all.
    """
    if most is None or len(found) <= 2 * most:
        return found, None
    place = 2 * most
    while place > most and found[place].role is not first:
        place -= 1
    place = place if found[place].role is first else 2 * most
    return found[:place], found[place].start


def rest_as_instruction(text: str, start: int, end: int) -> list[ParsedInstruction]:
    """Return what is not read of a list, as a candidate; none if nothing is left."""
    span = trimmed(text, start, end)
    raw = text[slice(*span)]
    return [ParsedInstruction(*span, raw, raw, truncated=False, is_rest=True)] if raw else []


def rest_as_instance(text: str, start: int, end: int) -> list[ParsedInstance]:
    """Return what is not read of instances, as the output of one; none if nothing is left."""
    span = trimmed(text, start, end)
    rest = ParsedInstance("", text[slice(*span)], NOWHERE, Span(*span), False, is_rest=True)
    return [rest] if rest.output else []
