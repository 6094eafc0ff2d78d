"""The marks of list items: numbers in every dress, bullets, and numbers within a line."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from selfinstruct.common.scan import at_lines

# `10.Name`, `10)`, `(10)`, `10:`, `１０．`, `10、`, `**10.**`, `### 10.`, `Task 10:`; not 10.5.
_NUMBER = (
    r"(?=[ \t\u3000#*•_(（\dtian任-])(?P<indent>[ \t\u3000]*)"
    r"(?P<dress>(?:#{1,6}[ \t]+)?(?:[-*•][ \t]+)?(?:\*\*|__)?)"
    r"(?:(?:task|instruction|aufgabe|任务|任務|nhiệm vụ)[ \t]*)?#?"
    r"(?:[(（](?P<bracketed>\d{1,4})[)）]|(?P<number>\d{1,4})(?:\*\*|__)?"
    r"(?:\\?\.(?![.\d])|\)|[:：．。](?!\d)|[、）]|[ \t]+[-–—][ \t]+(?=[^\W\d])))"
    r"(?:(?:\*\*|__)(?=[\s\w]))?"
)
_BULLET = r"(?P<indent>[ \t\u3000]*)(?:[-*•–—·▪●‣◦+○■]|\\-)[ \t]+(?=\S)(?![-*_][ \t]*[-*_])"
_NUMBERS = (re.compile(rf"\A{_NUMBER}", re.IGNORECASE), re.compile(rf"\n{_NUMBER}", re.IGNORECASE))
_BULLETS = (re.compile(rf"\A{_BULLET}"), re.compile(rf"\n{_BULLET}"))
_BULLET_MARK = re.compile("[-*•–—·▪●‣◦+○■]")
# Within a line: behind a space or a full stop without one, and before what starts a sentence.
# What may stand there comes first: a pattern that starts with a lookbehind is tried everywhere.
_INLINE = re.compile(
    r"[*(（\d](?<=[\s。？！；.?!][*(（\d])(?:(?<=\*)\*[(（]?\d{1,4}|(?<=[(（])\d{1,4}|(?<=\d)\d{0,3})"
    r"[.)．、：）](?!\d)"
)
_WITHOUT_SPACES = re.compile("[\u2e80-\U0010ffff]")
_DIGIT = re.compile(r"\d")
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
    if not _DIGIT.search(text):
        return []
    return [
        Mark(
            int(match["bracketed"] or match["number"]),
            _width(match["indent"]),
            match.start("indent"),
            match.end(),
            "#" in match["dress"] or match["dress"].endswith(("**", "__")),
        )
        for match in at_lines(text, *_NUMBERS)
    ]


def bullet_marks(text: str) -> list[Mark]:
    """Return the bullets at the start of lines."""
    if not _BULLET_MARK.search(text):
        return []
    return [
        Mark(0, _width(match["indent"]), match.start("indent"), match.end())
        for match in at_lines(text, *_BULLETS)
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
    found = (m for m in _INLINE.finditer(text, start, end) if m.start() > start)
    numbered = ((m, int(m.group().strip("*(（.)．、：）"))) for m in found)
    ahead = deque(islice(numbered, 9))
    marks: list[Mark] = []
    chained = False
    while ahead:
        match, own = ahead.popleft()
        ahead.extend(islice(numbered, 1))
        if own == 1 and number > 0:
            return marks
        if own != number + 1 or not _starts(text, match.end(), end):
            continue
        following = [later for _, later in islice(ahead, 8)]
        goes_on = number + 2 in following and number not in (1, 2)
        chained = chained or goes_on
        if chained or _ends_sentence(text, start, match.start()):
            marks.append(Mark(number + 1, 0, match.start(), match.end()))
            number += 1
    return marks


def next_number_start(text: str, start: int, end: int, number: int) -> int:
    """Return where the number of the next item starts at the end of an item; `end` if nowhere."""
    tail = text[max(start, end - 16) : end]
    match = re.search(
        r"(?:^|(?<=\s)|(?<=[。？！.?!]))[*#(（ ]{0,6}(\d{1,4})[.)．、：:）]?\**\Z", tail
    )
    if match is None or int(match[1]) != number + 1:
        return end
    place = end - len(tail) + match.start()
    own_line = "\n" in text[start + len(text[start:place].rstrip()) : place]
    return place if own_line or _ends_sentence(text, start, place) else end


def looks_whole(text: str) -> bool:
    """Whether a text is long enough for a task: four words, or six characters without spaces."""
    if len(text.split(maxsplit=3)) >= 4:
        return True
    return sum(1 for _ in islice(_WITHOUT_SPACES.finditer(text), 6)) == 6


def looks_short(texts: Sequence[str]) -> bool:
    """Whether texts look like options to choose from: none is a question or a long sentence."""
    return all(len(text.split()) <= 8 and "?" not in text and "？" not in text for text in texts)


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
    if not indent:
        return 0
    return len(indent.replace("\t", "    ").replace("\u3000", "  "))
