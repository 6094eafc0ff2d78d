"""As it was: `selfinstruct/verdicts/parse/markers.py`."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache


class Role(Enum):
    """What stands behind a marker."""

    INPUT = auto()
    OUTPUT = auto()
    LABEL = auto()
    # A separator of examples, or a new task of the model's own: what follows is none of it.
    EXAMPLE = auto()
    TASK = auto()


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker: `start` of its line, `after` it, and its number ("Input 2:"; 0 without)."""

    role: Role
    start: int
    after: int
    number: int = 0
    word: str = ""


_BEFORE = (
    r"^[ \t]*(?:>[ \t]?)?(?:[-*•+][ \t]{1,3})?(?:#{1,6}[ \t]{0,3})?"
    r"(?P<dress>\*\*|__|\*|_|\[|【)?[ \t]?"
    r"(?:(?:example|sample|test|expected|possible|beispiel|示例|例)[ \t]{0,2})?"
)
_NUMBER = (
    r"(?:[ \t]{0,2}#?\(?(?P<number>\d{1,3})\)?)?"
    r"(?:[ \t]{0,2}[(（][^()（）\n]{1,40}[)）])?[ \t]{0,2}"
)
_MORE = (
    r"(?:[ \t]{1,2}"
    r"(?:text|sentence|data|string|list|array|passage|paragraph|code|values?|numbers?))?"
)
_COLON = r"(?:\*\*|__|\*|_|\]|】)?[ \t]{0,2}[:：](?:\*\*|__|\*|_)?"
_ALONE = r"(?:\*\*|__|\*|_|\]|】)[ \t]*$"
_HEADING = r"^[ \t]*#{1,6}[ \t]{0,3}(?:\*\*|__)?"
_EXAMPLE = re.compile(
    r"^[ \t]*(?:>[ \t]?)?(?:#{1,6}[ \t]{0,3})?(?:\*\*|__|\[|【)?"
    r"(?:(?P<word>example|instance|sample|test case|case"
    r"|beispiel|示例|例子|例|ví dụ|exemple|ejemplo)"
    r"[ \t]{0,2}#?(?P<number>\d{1,3})?(?:\*\*|__|\]|】)?[ \t]?[.:：)]?(?:\*\*|__)?"
    r"|(?P<rule>-{3,}|\*{3,}|={3,}|_{3,}|#{3,}|~{3,}))[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_TASK = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]{0,3})?(?:\*\*|__)?(?:task|instruction|aufgabe|任务|任務|指令|nhiệm vụ)"
    r"(?:[ \t]{0,2}\d{1,3})?(?:\*\*|__)?[ \t]{0,2}[:：]",
    re.MULTILINE | re.IGNORECASE,
)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def find_markers(text: str, words: tuple[tuple[Role, tuple[str, ...]], ...]) -> list[Marker]:
    """Return the markers of these words, in order; not those in a code fence.

    A text whose markers all stand in a fence is read all the same: the fence is around the whole.

    Args:
        text: the completion.
        words: for each role, the markers of the templates, or other words.
    """
    exact = {word for _, own in words for marker in own for word in (marker, _bare(marker))}
    every = [marker for role, own in words for marker in _of_role(text, role, own)]
    found: list[Marker] = []
    for role in {marker.role for marker in every}:
        # An output's own case decides for inputs too.
        others = [m for m in every if m.role is role or m.role is not Role.INPUT]
        own = [marker for marker in every if marker.role is role]
        found += _without_lower(own, exact, others)
    found.sort(key=lambda marker: marker.start)
    fences = [match.start() for match in _FENCE.finditer(text)]
    # A fence that is not closed is none.
    closed = fences[: len(fences) // 2 * 2]
    outside = [m for m in found if bisect_right(closed, m.start) % 2 == 0]
    roles = {marker.role for marker in outside}
    return outside if all(m.role in roles for m in found) else found


def find_examples(text: str, start: int = 0, end: int = sys.maxsize) -> list[Marker]:
    """Return the lines of a range that separate examples: "Example 2", "---", "###"."""
    return [
        Marker(Role.EXAMPLE, m.start(), m.end(), int(m["number"] or 0), m["word"] or m["rule"])
        for m in _EXAMPLE.finditer(text, start, end)
    ]


def find_tasks(text: str, end: int = sys.maxsize) -> list[Marker]:
    """Return the lines by which a model writes down a task, its own or the one that it got."""
    return [Marker(Role.TASK, m.start(), m.end()) for m in _TASK.finditer(text, 0, end)]


def _of_role(text: str, role: Role, words: Sequence[str]) -> list[Marker]:
    markers: dict[int, Marker] = {}
    for pattern in _patterns(role, tuple(words)):
        for match in pattern.finditer(text):
            number = int(match["number"] or 0)
            marker = Marker(role, match.start(), match.end(), number, match["word"])
            markers.setdefault(marker.start, marker)
    return list(markers.values())


def _without_lower(
    markers: list[Marker], exact: Collection[str], others: Sequence[Marker]
) -> list[Marker]:
    """Drop lower case words of a text or of code, if markers are written otherwise elsewhere."""
    if not any(marker.word in exact for marker in others):
        return markers
    return [marker for marker in markers if marker.word in exact or not marker.word.islower()]


@lru_cache(maxsize=64)
def _patterns(role: Role, words: tuple[str, ...]) -> list[re.Pattern[str]]:
    """Return the patterns of a role's markers; each has the groups `word` and `number`."""
    named = "|".join(re.escape(_bare(word)) for word in words if _is_word(word))
    literal = "|".join(re.escape(word) for word in words if not _is_word(word))
    more = _MORE if role in (Role.INPUT, Role.OUTPUT) else ""
    patterns = []
    if named:
        word = rf"(?P<word>{named}){more}{_NUMBER}"
        patterns.append(rf"{_BEFORE}{word}(?:{_COLON}|(?(dress){_ALONE}|(?!)))")
        patterns.append(rf"{_HEADING}{word}(?:\*\*|__)?[ \t]*$")
    if literal:
        patterns.append(rf"^[ \t]*(?:\*\*)?(?P<word>{literal})(?:\*\*)?(?P<number>(?!))?")
    return [re.compile(pattern, re.MULTILINE | re.IGNORECASE) for pattern in patterns]


def _bare(word: str) -> str:
    return word.rstrip(" :：.*")


def _is_word(word: str) -> bool:
    """Whether a marker is a word with a colon; any other is taken literally."""
    bare = _bare(word)
    return bare.replace(" ", "").isalpha() and word[len(bare) :].strip() in ("", ":", "：")
