"""What a pattern would find, found in fewer steps."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.common import scan
from selfinstruct.filters.length import _HAS_SPACELESS, _HIGH
from selfinstruct.verdicts.parse import markers
from tests.former.texts import TEXTS

EVERY = "".join(map(chr, range(sys.maxunicode + 1)))
# The letters of what is looked for in a folded text.
WORDS = (
    *(*markers.OTHER_INPUTS, *markers.OTHER_OUTPUTS, *markers.OTHER_LABELS),
    *(*markers._EXAMPLE_WORDS, *markers._TASK_WORDS, "abcdefghijklmnopqrstuvwxyz'’`[]<>{}"),
)


def test_a_folded_text_has_the_same_places() -> None:
    low = scan.folded(EVERY)
    assert len(low) == len(EVERY)
    for kind in (r"\w", r"\s", r"\d"):
        for char, folded in zip(EVERY, low, strict=True):
            if char != folded:
                assert bool(re.match(kind, char)) == bool(re.match(kind, folded)), char


def test_a_folded_text_has_what_a_pattern_without_case_finds() -> None:
    low = scan.folded(EVERY)
    for letter in sorted(set("".join(WORDS))):
        own = scan.folded(letter)
        found = {m.start() for m in re.finditer(re.escape(letter), EVERY, re.IGNORECASE)}
        assert found == {m.start() for m in re.finditer(re.escape(own), low)}, letter


def test_scripts_without_spaces_lie_high() -> None:
    assert not _HAS_SPACELESS.search("".join(c for c in EVERY if not _HIGH.match(c)))


@settings(deadline=None)
@given(TEXTS, st.integers(0, 20), st.integers(0, 20))
def test_lines(text: str, start: int, cut: int) -> None:
    end = max(0, len(text) - cut)
    low = scan.folded(text)
    starts = [0, *(m.end() for m in re.finditer("\n", text))]
    words = ("input", "###", "世", "i")

    def holds(line: int) -> bool:
        line_end = text.find("\n", line)
        part = low[max(line, start) : min(end, line_end if line_end >= 0 else len(text))]
        return any(word in part for word in words)

    assert scan.lines_with(text, words, start, end) == [
        line for line in starts if line >= start and holds(line)
    ]
    first, later = re.compile(r"[ \t]*(\d)"), re.compile(r"\n[ \t]*(\d)")
    digits = [m.start(1) for m in re.finditer(r"^[ \t]*(\d)", text, re.MULTILINE)]
    assert [m.start(1) for m in scan.at_lines(text, first, later)] == digits
    filled = [line for line in text.splitlines() if line.strip()]
    for number in (1, 2, 3):
        assert scan.has_lines(text, number) == (len(filled) >= number)
    if text and text == text.rstrip():
        assert scan.last_line(text) == text.splitlines()[-1]


@settings(deadline=None)
@given(TEXTS)
def test_characters(text: str) -> None:
    assert scan.count(text, str.isalpha) == sum(char.isalpha() for char in text)
    assert set(scan.characters(text)) == set(text)
    assert scan.all_of(text, str.isspace) == all(char.isspace() for char in text)
    assert scan.each(text) == list(text)
    letters = "".join("a" if char.isalpha() else "o" for char in text)
    assert scan.spelled(text, lambda char: "a" if char.isalpha() else "o") == letters
    assert scan.changes(letters) == sum(map(str.__ne__, letters, letters[1:]))
    words = scan.spaced(text, letters, alone="a", within="-").split()
    assert words == [char for char in text if char.isalpha()]
    words = scan.spaced(text, letters, alone="-", within="a").split()
    assert words == [text[m.start() : m.end()] for m in re.finditer("a+", letters)]


@settings(deadline=None)
@given(TEXTS.map(lambda text: text.encode("ascii", "ignore").decode()))
def test_words_of_ascii(text: str) -> None:
    assert scan.ascii_words(text) == re.findall("[a-z0-9]+", text.lower())
    assert scan.ascii_words(text, "_") == re.findall(r"\w+", text.lower())


@pytest.mark.parametrize("given", [[], [1], [1, 2, 3]])
def test_last(given: list[int]) -> None:
    assert scan.last(given) == (given[-1] if given else None)
