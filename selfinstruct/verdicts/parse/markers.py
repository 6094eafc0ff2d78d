"""The lines of a completion that start an input, an output or a label, in every dress."""

from __future__ import annotations

import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum, auto
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from selfinstruct.common.scan import folded, has_any, last, lines_with


class Role(Enum):
    """What stands behind a marker."""

    INPUT = auto()
    OUTPUT = auto()
    LABEL = auto()
    # A separator of examples, or a new task of the model's own: what follows is none of it.
    EXAMPLE = auto()
    TASK = auto()


class Marker(NamedTuple):
    """A marker: `start` of its line, `after` it, and its number ("Input 2:"; 0 without)."""

    role: Role
    start: int
    after: int
    number: int = 0
    word: str = ""


# Runs of spaces are bounded where two could meet, so that no text costs more than its length.
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
# Other words for an output and a label; they count where the templates' own word never occurs.
OTHER_OUTPUTS = (
    *(
        "Output",
        "Answer",
        "Response",
        "Result",
        "Solution",
        "Completion",
        "Ausgabe",
        "Antwort",
        "Ergebnis",
    ),
    *(
        "Lösung",
        "输出",
        "答案",
        "回答",
        "结果",
        "出力",
        "答え",
        "Đầu ra",
        "Trả lời",
        "Đáp án",
        "Kết quả",
    ),
    *("Réponse", "Sortie", "Respuesta", "Salida", "Resposta", "Risposta", "Ответ", "답변", "출력"),
)
# Those that a model puts before an answer that was to be nothing else.
LEADING_OUTPUTS = (
    *("Output", "Answer", "Response", "Ausgabe", "Antwort", "输出", "答案", "回答", "Đầu ra"),
    "Trả lời",
)
OTHER_INPUTS = (
    "Input",
    "Eingabe",
    "输入",
    "輸入",
    "入力",
    "Đầu vào",
    "Entrée",
    "Entrada",
    "입력",
    "Ввод",
)
OTHER_LABELS = (
    *("Class label", "Class", "Category", "Classification", "Output", "Answer", "Klasse"),
    *("Kategorie", "标签", "类别", "ラベル", "Nhãn"),
)
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
# What no such line is without.
_EXAMPLE_WORDS = (
    *("example", "instance", "sample", "case", "beispiel", "示例", "例", "ví dụ", "exemple"),
    *("ejemplo", "---", "***", "===", "___", "###", "~~~"),
)
_TASK_WORDS = ("task", "instruction", "aufgabe", "任务", "任務", "指令", "nhiệm vụ")
_START = attrgetter("start")
# Where a marker ends in its line, its number, and its word.
_Read = tuple[int, int, str]
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def find_markers(text: str, words: tuple[tuple[Role, tuple[str, ...]], ...]) -> list[Marker]:
    """Return the markers of these words, in order; not those in a code fence.

    A text whose markers all stand in a fence is read all the same: the fence is around the whole.

    Args:
        text: the completion.
        words: for each role, the markers of the templates, or other words.
    """
    exact = _exact(words)
    of_role = {role: _of_role(text, role, own) for role, own in words}
    has_exact = {role for role, own in of_role.items() if any(m.word in exact for m in own)}
    found: list[Marker] = []
    for role, own in of_role.items():
        # An output's own case decides for inputs too.
        is_exact = role in has_exact or bool(has_exact - {Role.INPUT})
        found += _without_lower(own, exact) if is_exact else own
    found.sort(key=_START)
    fences = [line for line in lines_with(text, ("```", "~~~")) if _FENCE.match(text, line)]
    # A fence that is not closed is none.
    closed = fences[: len(fences) // 2 * 2]
    if not closed:
        return found
    outside = [m for m in found if bisect_right(closed, m.start) % 2 == 0]
    roles = {marker.role for marker in outside}
    return outside if all(m.role in roles for m in found) else found


def may_have(
    text: str, words: Mapping[Role, tuple[str, ...]], others: Mapping[Role, tuple[str, ...]]
) -> bool:
    """Whether other words for some roles may find more in a text than the words alone."""
    low = folded(text)
    for role, of_role in others.items():
        known = _folded_words(words[role])
        elsewhere = [_folded_words(own) for other, own in words.items() if other is not role]
        for word in _folded_words(of_role):
            if (word in low and word not in known) or any(word in own for own in elsewhere):
                return True
    return False


def find_inline(text: str, word: str, start: int, end: int) -> Marker | None:
    """Return the first marker within a line ("Input: 2 + 2, Output: 4")."""
    match = _inline_pattern(word).search(text, start, end)
    return None if match is None else Marker(Role.OUTPUT, match.start(), match.end())


def may_be_inline(text: str, word: str) -> bool:
    """Whether a text has the word of a marker anywhere."""
    return _bare(word) in text


@lru_cache(maxsize=8)
def _inline_pattern(word: str) -> re.Pattern[str]:
    return re.compile(
        r"(?:[,;][ \t]{0,2}|(?<=\s)|(?<=\.))(?:\*\*)?"
        rf"{re.escape(_bare(word))}(?:\*\*)?[:：](?:\*\*)?"
    )


def find_examples(text: str, start: int = 0, end: int = sys.maxsize) -> Iterator[Marker]:
    """Yield the lines of a range that separate examples: "Example 2", "---", "###"."""
    return (
        Marker(Role.EXAMPLE, m.start(), m.end(), int(m["number"] or 0), m["word"] or m["rule"])
        for line in _within(_lines_with(text, _EXAMPLE_WORDS), start, end)
        if (m := _EXAMPLE.match(text, line, end))
    )


def last_example(text: str, start: int, end: int) -> Marker | None:
    """Return the last line of a range that separates examples, if there is one."""
    if not _within(_lines_with(text, _EXAMPLE_WORDS), start, end):
        return None
    return last(find_examples(text, start, end))


def separates(line: str) -> bool:
    """Whether a line separates examples, and is no row of stars: that may be a part of a value."""
    match = _EXAMPLE.match(line)
    return match is not None and not (match["word"] or match["rule"]).startswith(("*", "_", "~"))


def find_tasks(text: str, end: int = sys.maxsize) -> Iterator[Marker]:
    """Yield the lines by which a model writes down a task, its own or the one that it got."""
    return (
        Marker(Role.TASK, m.start(), m.end())
        for line in _within(_lines_with(text, _TASK_WORDS), 0, end)
        if (m := _TASK.match(text, line, end))
    )


@lru_cache(maxsize=4)
def _lines_with(text: str, words: tuple[str, ...]) -> list[int]:
    return lines_with(text, words)


def _within(lines: Sequence[int], start: int, end: int) -> Sequence[int]:
    return lines[bisect_left(lines, start) : bisect_left(lines, end)]


@lru_cache(maxsize=4)
def _of_role(text: str, role: Role, words: tuple[str, ...]) -> Sequence[Marker]:
    named, literal = _patterns(role, words)
    found = list(_at_lines(text, role, named, _folded_words(words))) if named else []
    if not literal:
        return found
    markers = {marker.start: marker for marker in found}
    for match in (match for one in literal for match in one.finditer(text)):
        number = int(match["number"] or 0)
        marker = Marker(role, match.start(), match.end(), number, match["word"])
        markers.setdefault(marker.start, marker)
    return list(markers.values())


def _at_lines(
    text: str, role: Role, patterns: Sequence[re.Pattern[str]], words: Sequence[str]
) -> Iterator[Marker]:
    """Yield the markers at the starts of lines; a line that occurs again is looked at once.

    Args:
        text: the completion.
        role: of the markers.
        patterns: of which one matches a line that starts with a marker.
        words: in lower case; no such line is without one of them.
    """
    low = folded(text)
    if not has_any(low, words):
        return
    lines: dict[str, _Read | None] = {}
    heads: dict[str, _Read | None] = {}
    start = 0
    for line, low_line in zip(text.split("\n"), low.split("\n"), strict=True):
        if line not in lines:
            lines[line] = _read(line, patterns, heads) if has_any(low_line, words) else None
        read = lines[line]
        if read is not None:
            yield Marker(role, start, start + read[0], read[1], read[2])
        start += len(line) + 1


def _read(
    line: str, patterns: Sequence[re.Pattern[str]], heads: dict[str, _Read | None]
) -> _Read | None:
    """Return what a line starts with; a head that occurs again is matched once.

    The head is what a marker depends on. It ends at a colon, with two marks behind it. Only what
    stands in brackets may have a colon before that: there, and without a colon, the head is the
    whole line.
    """
    colon = line.find(":")
    head = line[: colon + 3] if colon >= 0 else line
    if has_any(head, "(（："):
        head = line
    if head not in heads:
        match = next(filter(None, (one.match(line) for one in patterns)), None)
        heads[head] = match and (match.end(), int(match["number"] or 0), match["word"])
    return heads[head]


def _without_lower(markers: Sequence[Marker], exact: Collection[str]) -> list[Marker]:
    """Drop lower case words of a text or of code, where markers are written otherwise elsewhere."""
    return [marker for marker in markers if marker.word in exact or not marker.word.islower()]


@lru_cache(maxsize=64)
def _exact(words: tuple[tuple[Role, tuple[str, ...]], ...]) -> frozenset[str]:
    """Return the words as they are written, with and without what stands around them."""
    return frozenset(word for _, own in words for marker in own for word in (marker, _bare(marker)))


@lru_cache(maxsize=64)
def _folded_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of a role in lower case, by which their lines are found."""
    return tuple(folded(_bare(word)) for word in words if _is_word(word))


@lru_cache(maxsize=64)
def _patterns(
    role: Role, words: tuple[str, ...]
) -> tuple[list[re.Pattern[str]], list[re.Pattern[str]]]:
    """Return the patterns of a role's markers; each has the groups `word` and `number`.

    The first ones match at the start of a line that has one of the words with a colon; the others
    are of words that are taken literally.
    """
    named = "|".join(re.escape(_bare(word)) for word in words if _is_word(word))
    literal = "|".join(re.escape(word) for word in words if not _is_word(word))
    more = _MORE if role in (Role.INPUT, Role.OUTPUT) else ""
    of_words, of_literals = [], []
    if named:
        word = rf"(?P<word>{named}){more}{_NUMBER}"
        of_words.append(rf"{_BEFORE}{word}(?:{_COLON}|(?(dress){_ALONE}|(?!)))")
        of_words.append(rf"{_HEADING}{word}(?:\*\*|__)?[ \t]*$")
    if literal:
        of_literals.append(rf"^[ \t]*(?:\*\*)?(?P<word>{literal})(?:\*\*)?(?P<number>(?!))?")
    flags = re.MULTILINE | re.IGNORECASE
    return [re.compile(one, flags) for one in of_words], [
        re.compile(one, flags) for one in of_literals
    ]


def _bare(word: str) -> str:
    return word.rstrip(" :：.*")


def _is_word(word: str) -> bool:
    """Whether a marker is a word with a colon; any other is taken literally."""
    bare = _bare(word)
    return bare.replace(" ", "").isalpha() and word[len(bare) :].strip() in ("", ":", "：")
