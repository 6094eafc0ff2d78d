"""What a screen obeys or hides is seen, and nothing else is changed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.controls import json_text, visible, without_controls


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("safe\u202eeliF", "safe⟨U+202E⟩eliF"),
        ("pay\u200bpal", "pay⟨U+200B⟩pal"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("\x1b[31mred\x9b0m", "⟨U+001B⟩[31mred⟨U+009B⟩0m"),
        ("\ufeffstart", "⟨U+FEFF⟩start"),
        ("x\U000e0041", "x⟨U+E0041⟩"),
        ("half \ud83d", "half ⟨U+D83D⟩"),
        ("rub\x7fout", "rub⟨U+007F⟩out"),
        ("one\u2028two\u2029three", "one⟨U+2028⟩two⟨U+2029⟩three"),
        ("one\r\ntwo\tthree\n", "one\ntwo\tthree\n"),
        ("👩\u200d🔬 क्\u200dष", "👩\u200d🔬 क्\u200dष"),
    ],
)
def test_marks_are_shown(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_an_export_can_leave_them_out() -> None:
    assert without_controls("a\u202e\u200bb\x1bc\nd") == "abc\nd"
    assert without_controls("one\u2028two") == "one\ntwo"


@pytest.mark.parametrize("character", ["\x7f", "\x85", "\u2028", "\u202e", "\x00"])
def test_a_row_of_json_is_one_line(character: str) -> None:
    text = json_text({"text": f"a{character}b", "plain": "a"})
    assert text.splitlines() == [text]
    assert character not in text
    assert json.loads(text)["text"] == f"a{character}b"


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_says_the_same_and_hides_nothing(value: object) -> None:
    for indent in (None, 2):
        text = json_text(value, indent=indent)
        assert json.loads(text) == value
        assert visible(text) == text
        text.encode()
