"""The parsers of versions 1 and 2."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.common.records import Markers, ParsedInstance
from selfinstruct.verdicts.parse.first import (
    clean_instruction,
    parse_direct,
    parse_input_first,
    parse_label,
    parse_output_first,
    parse_proposal,
)

MARKERS = Markers()

# Texts made of what the parsers look for, between arbitrary ones.
PIECES = st.sampled_from(
    [
        *("1.", "9.", "10)", "16. ", "**9.**", "###", "**", '"', "“", "”", "\n", "\r\n", " ", "\t"),
        *("Input:", "Output:", "Label:", "none", "N/A.", "label"),
        *("é🙂", "\u2028", "\x00", "\uff12."),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=16).map("".join)
FINISH = st.sampled_from(["stop", "length"])


def texts_of(text: str, finish: str = "stop", *, continues: bool, first: int = 9) -> list[str]:
    items = parse_proposal(text, finish, first_number=first, continues=continues)
    return [item.text for item in items]


def pairs_of(instances: list[ParsedInstance]) -> list[tuple[str, str]]:
    return [(one.input, one.output) for one in instances]


@pytest.mark.parametrize(
    ("text", "continues", "expected"),
    [
        (" Name a bird.\n10. Name a fish.", True, ["Name a bird.", "Name a fish."]),
        ("9. Name a bird.\n10) Name a fish.", False, ["Name a bird.", "Name a fish."]),
        ("Sure, here are some:\n\n9. Name a bird.", False, ["Name a bird."]),
        ("1. Name a bird.\n2. Name a fish.", False, ["Name a bird.", "Name a fish."]),
        ("  9. Name a bird.\r\n\t10. Name a fish.\r\n", False, ["Name a bird.", "Name a fish."]),
        ("**9. Birds:** name one.\n**10.** Fish", False, ["Birds: name one.", "Fish"]),
        ("### 9. Name a bird.\n## 10. Name a fish.", False, ["Name a bird.", "Name a fish."]),
        (" Pay 9.50 euros.\n10.5 is a number.", True, ["Pay 9.50 euros. 10.5 is a number."]),
        (" Name a bird.\n11. Name a fish.", True, ["Name a bird.", "Name a fish."]),
        ("\n10. Name a fish.", True, ["Name a fish."]),
        ("9. \n10. **\n11. Name a fish.", False, ["Name a fish."]),
        ("There is no list here.", False, []),
        ("", True, []),
        ("", False, []),
        (" \n\t", True, []),
    ],
)
def test_a_proposal_is_split_at_its_numbers(
    text: str, continues: bool, expected: list[str]
) -> None:
    assert texts_of(text, continues=continues) == expected


def test_a_list_inside_an_instruction_stays_part_of_it() -> None:
    text = " Sort these:\n1. pears\n2. apples\n10. Name a fish."
    assert texts_of(text, continues=True) == ["Sort these: 1. pears 2. apples", "Name a fish."]


def test_a_proposal_keeps_the_raw_text_and_its_place() -> None:
    text = " Name\n a  bird.\n10. **Name** a fish."
    first, second = parse_proposal(text, "stop", first_number=9, continues=True)
    assert (first.raw, first.text) == ("Name\n a  bird.", "Name a bird.")
    assert (first.start, first.end) == (1, 15)
    assert (second.raw, second.text) == ("**Name** a fish.", "Name a fish.")
    assert (second.start, second.end) == (20, 36)


@pytest.mark.parametrize(
    ("text", "finish", "truncated"),
    [
        ("9. One\n10. Two", "stop", [False, False]),
        ("9. One\n10. Two", "length", [False, True]),
        ("9. One\n10.", "length", [False]),
        ("9. One\n10. **", "length", [False]),
    ],
)
def test_the_token_limit_truncates_the_last_item_alone(
    text: str, finish: str, truncated: list[bool]
) -> None:
    items = parse_proposal(text, finish, first_number=9, continues=False)
    assert [item.truncated for item in items] == truncated


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  Name\n\ta   bird. ", "Name a bird."),
        ("**Birds:** name one.", "Birds: name one."),
        ('"Name a bird."', "Name a bird."),
        ("“Name a bird.”", "Name a bird."),
        ('**"Name a bird."**', "Name a bird."),
        ('"Be" is a verb, and so is "do"', '"Be" is a verb, and so is "do"'),
        ('Who said "I came"?', 'Who said "I came"?'),
        ("** **", ""),
        ("", ""),
        ("What is 2**10 in Python?", "What is 2**10 in Python?"),
        ("Name ** a bird.", "Name ** a bird."),
    ],
)
def test_clean_instruction(raw: str, clean: str) -> None:
    assert clean_instruction(raw) == clean


@pytest.mark.parametrize(
    ("text", "is_label"),
    [
        ("label", True),
        (" Label.\n", True),
        ("LABELS", True),
        ("text", False),
        ("a label", False),
        ("", False),
    ],
)
def test_a_label_is_what_starts_with_the_word(text: str, is_label: bool) -> None:
    assert parse_label(text, MARKERS) is is_label


def test_the_word_for_a_label_is_the_templates_own() -> None:
    assert parse_label(" ÉTIQUETTE", Markers(classification="étiquette"))


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("Input: 2 + 2\nOutput: 4", None, [("2 + 2", "4")]),
        (" 2 + 2\nOutput: 4", "Input:", [("2 + 2", "4")]),
        (" 4", "Output:", [("", "4")]),
        ("Output: 4", None, [("", "4")]),
        ("Input: a\nOutput: b\nInput: c\nOutput: d", None, [("a", "b"), ("c", "d")]),
        ("Input: a\nOutput: b\nOutput: c", None, [("a", "b"), ("", "c")]),
        ("Input: a\nInput: b\nOutput: c", None, [("b", "c")]),
        ("Of course!\n  Input: a\n\tOutput: b", None, [("a", "b")]),
        ("Input: a\nb\n\nOutput: c\nd\n", None, [("a\nb", "c\nd")]),
        ("Input:\nOutput: b", None, [("", "b")]),
        ("Input: a\nOutput:", None, [("a", "")]),
        ("Input: see Output: here\nOutput: b", None, [("see Output: here", "b")]),
        ("Input: a", None, []),
        ("4", None, []),
        ("", "Input:", []),
    ],
)
def test_input_first(text: str, opened: str | None, expected: list[tuple[str, str]]) -> None:
    assert pairs_of(parse_input_first(text, "stop", MARKERS, opened=opened)) == expected


@pytest.mark.parametrize("word", ["None", "none.", "N/A", "No input.", "<noinput>", "<None>"])
def test_a_word_for_no_input_is_no_input(word: str) -> None:
    [instance] = parse_input_first(f"Input: {word}\nOutput: 4", "stop", MARKERS, opened=None)
    assert (instance.input, instance.input_span) == ("", (0, 0))


def test_an_input_that_only_starts_like_no_input_is_one() -> None:
    text = "Input: none of the above\nOutput: 4"
    assert pairs_of(parse_input_first(text, "stop", MARKERS, opened=None)) == [
        ("none of the above", "4")
    ]


def test_the_spans_of_an_instance() -> None:
    [instance] = parse_input_first("Input:  ab \nOutput: cde\n", "stop", MARKERS, opened=None)
    assert (instance.input_span, instance.output_span) == ((8, 10), (20, 23))


def test_markers_are_the_templates_own_and_taken_literally() -> None:
    markers = Markers(input="(in)", output="[out]")
    text = "(in) a\n[out] b"
    assert pairs_of(parse_input_first(text, "stop", markers, opened=None)) == [("a", "b")]


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("Label: good\nInput: tasty", None, [("tasty", "good")]),
        (" good\nInput: tasty", "Label:", [("tasty", "good")]),
        (" good\nInput: a\nLabel: bad\nInput: b", "Label:", [("a", "good"), ("b", "bad")]),
        ("Label: good\nLabel: bad\nInput: b", None, [("", "good"), ("b", "bad")]),
        ("Label: good", None, [("", "good")]),
        ("Label: good\nInput: a\nInput: b", None, [("a", "good")]),
        ("Input: a\nLabel: good", None, [("", "good")]),
        ("good", None, []),
    ],
)
def test_output_first(text: str, opened: str | None, expected: list[tuple[str, str]]) -> None:
    assert pairs_of(parse_output_first(text, "stop", MARKERS, opened=opened)) == expected


def test_direct_takes_the_whole_text() -> None:
    [instance] = parse_direct("  Input: it is 4.\n", "stop")
    assert (instance.input, instance.output) == ("", "Input: it is 4.")
    assert (instance.input_span, instance.output_span) == ((0, 0), (2, 17))


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_direct_finds_nothing_in_a_blank_text(text: str) -> None:
    assert parse_direct(text, "stop") == []


@pytest.mark.parametrize(("finish", "last"), [("stop", False), ("length", True)])
def test_the_token_limit_truncates_the_last_instance_alone(finish: str, last: bool) -> None:
    pairs = parse_input_first("Output: a\nOutput: b", finish, MARKERS, opened=None)
    labels = parse_output_first("Label: a\nInput: x\nLabel: b", finish, MARKERS, opened=None)
    assert [one.truncated for one in pairs] == [False, last]
    assert [one.truncated for one in labels] == [False, last]
    assert [one.truncated for one in parse_direct("a", finish)] == [last]


def test_an_instance_is_whole_when_only_the_input_after_it_was_cut_off() -> None:
    text = "Input: a\nOutput: b\nInput: c"
    [instance] = parse_input_first(text, "length", MARKERS, opened=None)
    assert not instance.truncated


@settings(deadline=None)
@given(TEXTS, FINISH, st.integers(1, 20), st.booleans())
def test_every_proposal_is_read_and_its_spans_hold(
    text: str, finish: str, first_number: int, continues: bool
) -> None:
    items = parse_proposal(text, finish, first_number=first_number, continues=continues)
    for item in items:
        assert text[item.start : item.end] == item.raw
        assert item.text == clean_instruction(item.raw) != ""
    ends = [0, *(item.end for item in items)]
    assert all(end <= item.start for end, item in zip(ends, items, strict=False))


@settings(deadline=None)
@given(TEXTS, FINISH, st.sampled_from([None, "Input:", "Output:", "Label:"]))
def test_every_instance_is_read_and_its_spans_hold(
    text: str, finish: str, opened: str | None
) -> None:
    found = [
        *parse_input_first(text, finish, MARKERS, opened=opened),
        *parse_output_first(text, finish, MARKERS, opened=opened),
        *parse_direct(text, finish),
    ]
    for one in found:
        assert text[slice(*one.input_span)] == one.input
        assert text[slice(*one.output_span)] == one.output


@settings(deadline=None)
@given(TEXTS)
def test_every_label_is_read(text: str) -> None:
    assert parse_label(text, MARKERS) in {True, False}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            " Weigh the dog.\n10. Veterinary practice: Weigh the cat.",
            ["Weigh the dog.", "Weigh the cat."],
        ),
        (
            " Weigh it.\n10. veterinary practice:Feed it.\n11. Call.",
            ["Weigh it.", "Feed it.", "Call."],
        ),
        (" Veterinary practice: Weigh it.\n10. Veterinary practice:", ["Weigh it."]),
        (" A veterinary practice: Weigh it.\n10. Practice it.", ["Weigh it.", "Practice it."]),
    ],
)
def test_the_tag_of_a_list_is_no_part_of_its_items(text: str, expected: list[str]) -> None:
    found = parse_proposal(text, "stop", first_number=9, continues=True, tag="Veterinary practice:")
    assert [item.text for item in found] == expected
    assert all(text[item.start : item.end] == item.raw for item in found)
