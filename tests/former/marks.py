"""As it was: `selfinstruct/verdicts/parse/marks.py`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(
    r"^(?P<indent>[ \t\u3000]*)"
    r"(?P<dress>(?:#{1,6}[ \t]+)?(?:[-*•][ \t]+)?(?:\*\*|__)?)"
    r"(?:(?:task|instruction|aufgabe|任务|任務|nhiệm vụ)[ \t]*)?#?"
    r"(?:[(（](?P<bracketed>\d{1,4})[)）]|(?P<number>\d{1,4})(?:\*\*|__)?"
    r"(?:\\?\.(?![.\d])|\)|[:：．。](?!\d)|[、）]|[ \t]+[-–—][ \t]+(?=[^\W\d])))"
    r"(?:(?:\*\*|__)(?=[\s\w]))?",
    re.MULTILINE | re.IGNORECASE,
)
_BULLET = re.compile(
    r"^(?P<indent>[ \t\u3000]*)(?:[-*•–—·▪●‣◦+○■]|\\-)[ \t]+(?=\S)(?![-*_][ \t]*[-*_])",
    re.MULTILINE,
)
_INLINE = re.compile(
    r"(?:(?<=\s)|(?<=[。？！；.?!]))(?:\*\*)?[(（]?(?P<number>\d{1,4})"
    r"(?:[.)](?!\d)|[．、：）](?!\d))"
)
_START = re.compile(r"[ \t]*+(?:\*\*)?+[ \t]*+(?P<quote>[\"'“‘«「]?)(?P<letter>[^\W\d_]|$)")
_SENTENCE_END = frozenset(".?!…。？！")
_CLOSING = " \t\n\r\"'”’»」』)）]*_"
_ABBREVIATIONS = frozenset(
    ("no", "nr", "vol", "p", "pp", "fig", "eq", "ch", "chap", "sec", "art", "st", "ver", "v")
)


@dataclass(frozen=True, slots=True)
class Mark:
    """The mark of an item: `start` of its line, `after` it, its number (0 for a bullet)."""

    number: int
    indent: int
    start: int
    after: int
    heading: bool = False


def number_marks(text: str) -> list[Mark]:
    """Return the numbers at the start of lines."""
    return [
        Mark(
            int(match["bracketed"] or match["number"]),
            _width(match["indent"]),
            match.start(),
            match.end(),
            "#" in match["dress"] or match["dress"].endswith(("**", "__")),
        )
        for match in _NUMBER.finditer(text)
    ]


def bullet_marks(text: str) -> list[Mark]:
    """Return the bullets at the start of lines."""
    return [
        Mark(0, _width(match["indent"]), match.start(), match.end())
        for match in _BULLET.finditer(text)
    ]


def inline_marks(text: str, start: int, end: int, number: int) -> list[Mark]:
    """Return the marks within an item by which the list goes on: its number + 1, and so on.

    A number counts behind the end of a sentence and before the start of one ("… a bird. 11. Name
    …"). Behind other words it counts only if the number after it follows too. A list within the
    item that starts at 1 is the item's own.

    Args:
        text: the completion.
        start: start of the item.
        end: its end.
        number: its number.
    """
    matches = [m for m in _INLINE.finditer(text, start, end) if m.start() > start]
    numbers = [int(match["number"]) for match in matches]
    marks: list[Mark] = []
    chained = False
    for place, match in enumerate(matches):
        if numbers[place] == 1 and number > 0:
            return marks
        if numbers[place] != number + 1 or not _starts(text, match.end(), end):
            continue
        goes_on = number + 2 in numbers[place + 1 : place + 9] and number not in (1, 2)
        chained = chained or goes_on
        if chained or _ends_sentence(text, start, match.start()):
            marks.append(Mark(number + 1, 0, match.start(), match.end()))
            number += 1
    return marks


def looks_whole(text: str) -> bool:
    """Whether a text is long enough for a task: four words, or six characters without spaces."""
    words = text.split()
    if len(words) >= 4:
        return True
    return sum(ord(char) > 0x2E7F for char in text) >= 6


def _starts(text: str, place: int, end: int) -> bool:
    """Whether a new item may start here: no lower case letter."""
    match = _START.match(text, place, end)
    if match is None:
        return False
    return not match["letter"].islower()


def _ends_sentence(text: str, start: int, place: int) -> bool:
    while place > start and text[place - 1] in _CLOSING:
        place -= 1
    if place == start or text[place - 1] not in _SENTENCE_END:
        return False
    word = re.search(r"(\w{1,5})\.\Z", text[max(start, place - 8) : place])
    return word is None or word[1].casefold() not in _ABBREVIATIONS


def _width(indent: str) -> int:
    return len(indent.replace("\t", "    ").replace("\u3000", "  "))
