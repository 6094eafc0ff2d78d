"""The characters of a text that each token wrote, where a server gives tokens as strings."""

from __future__ import annotations

from collections.abc import Sequence

_BROKEN = "\ufffd"  # part of a character


def piece_spans(text: str, pieces: Sequence[str]) -> tuple[list[int], list[int]] | None:
    """Return the half-open ranges of the pieces in a text that they make up.

    A piece that is not in the text (a special token, the rest of a stop string) has an empty
    range. Pieces that share a character each get the range of all that they share.

    Returns:
        Starts and ends; None where the pieces do not make up the text.
    """
    starts: list[int] = []
    ends: list[int] = []
    place = 0
    shared = 0  # the first of the pieces whose characters are not found yet
    for number, piece in enumerate(pieces):
        starts.append(place)
        ends.append(place)
        found = _find(text, piece, place, gap=shared < number)
        if found is None:
            if _BROKEN not in piece and shared == number:  # in no text: a special token
                shared = number + 1
            continue
        first, last = found
        for earlier in range(shared, number):
            starts[earlier], ends[earlier] = place, first
        starts[number], ends[number] = first, last
        place, shared = last, number + 1
    if shared < len(pieces):
        for earlier in range(shared, len(pieces)):
            starts[earlier], ends[earlier] = place, len(text)
        place = len(text)
    return (starts, ends) if place == len(text) else None


def _find(text: str, piece: str, place: int, *, gap: bool) -> tuple[int, int] | None:
    """Return the range of a piece at a place; with a gap, at most a few characters behind it."""
    if not piece or _BROKEN in piece:
        return None
    for first in range(place, place + (4 if gap else 1)):
        if text.startswith(piece, first):
            return first, first + len(piece)
        # Some tokenizers drop the space of a piece that is decoded by itself.
        if text.startswith(f" {piece}", first):
            return first, first + len(piece) + 1
        rest = text[first:]
        if rest and piece.startswith(rest):  # a stop string begins within the piece
            return first, len(text)
    return None
