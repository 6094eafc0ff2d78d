"""What holds for every text that a model could write."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.common.records import Markers, ParsedInstance
from selfinstruct.verdicts.parse.chat import closing_start, opening_end
from selfinstruct.verdicts.parse.instances import read_direct, read_input_first, read_output_first
from selfinstruct.verdicts.parse.items import clean_item
from selfinstruct.verdicts.parse.lists import read_list

MARKERS = Markers()
PIECES = st.sampled_from(
    [
        *("1.", "9.", "10)", "10. ", "11. A", "16、", "（12）", "**9.**", "- ", "• ", "###", "**"),
        *('"', "“", "\n", "\n\n", "\r\n", " ", "\t", "    ", "```", "---", "Example 2", "Task: "),
        *("Input:", "**Output**:", "### Output\n", "Output:", "OUTPUT :", "Label:", "Answer:"),
        *("Country: ", "none", "N/A.", "label", "Sure, here is a list:", "I hope this helps!"),
        *("é🙂", "\u2028", "\x00", "\uff12.", "Name a bird.", "写一首诗。", ": "),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=18).map("".join)
FINISH = st.sampled_from(["stop", "length"])
OPENED = st.sampled_from([None, "Input:", "Output:", "Label:"])


@settings(deadline=None)
@given(TEXTS, FINISH, st.integers(1, 20), st.booleans(), st.sampled_from(["", "Birds:"]))
def test_the_spans_of_a_list_rise(
    text: str, finish: str, first: int, continues: bool, tag: str
) -> None:
    items = read_list(text, finish, first_number=first, continues=continues, tag=tag)
    for item in items:
        assert text[item.start : item.end] == item.raw
        assert item.text == clean_item(item.raw) != ""
    assert all(one.end <= other.start for one, other in pairwise(items))
    assert not any(item.truncated for item in items[:-1])


WORDS = st.sampled_from(["Name", "a", "bird", "Write", "the", "poem", "what", "of"])
TASKS = st.lists(WORDS, min_size=2, max_size=8).map(lambda words: f"{' '.join(words)}.")
DRESS = st.sampled_from(["{}. ", "{}.", "{}) ", "({}) ", "**{}.** ", "{}: ", "{}、", "### {}. "])


@settings(deadline=None)
@given(
    st.lists(TASKS, min_size=2, max_size=9), DRESS, st.booleans(), st.sampled_from(["\n", "\n\n"])
)
def test_no_item_holds_a_later_number(
    tasks: list[str], dress: str, continues: bool, between: str
) -> None:
    lines = [dress.format(number) + task for number, task in enumerate(tasks, 9)]
    text = between.join(lines)
    if continues:
        text = " " + text.removeprefix(dress.format(9))
    items = read_list(text, "stop", first_number=9, continues=continues)
    assert [item.text for item in items] == tasks
    assert not any(re.search(r"\d", item.text) for item in items)


@settings(deadline=None)
@given(TEXTS, FINISH, OPENED)
def test_the_spans_of_instances_hold(text: str, finish: str, opened: str | None) -> None:
    for read in (
        read_input_first(text, finish, MARKERS, opened=opened),
        read_output_first(text, finish, MARKERS, opened=opened),
        read_direct(text, finish),
    ):
        for one in read:
            assert text[slice(*one.input_span)] == one.input
            assert text[slice(*one.output_span)] == one.output
        assert not any(one.truncated for one in read[:-1])
        apart(read)


def apart(instances: list[ParsedInstance]) -> None:
    """No two inputs or outputs share a character."""
    spans = [span for one in instances for span in (one.input_span, one.output_span)]
    filled = sorted(span for span in spans if span[0] < span[1])
    assert all(one[1] <= other[0] for one, other in pairwise(filled))


@settings(deadline=None)
@given(TEXTS)
def test_chat_is_cut_only_from_the_ends(text: str) -> None:
    start = opening_end(text, 0, len(text))
    assert 0 <= start <= closing_start(text, start, len(text)) <= len(text)
    assert not text.strip(" \t\n*_#-:：.") or text[start:].strip(" \t\n*_#-:：.")


MANY = 30_000


@pytest.mark.parametrize(
    "text",
    [
        "\n" * MANY,
        " " * MANY,
        "*" * MANY,
        "#" * MANY,
        "- " * MANY,
        "9. " * MANY,
        "9.\n" * MANY,
        "1.\n 1.\n" * (MANY // 4),
        "---\n" * MANY,
        "Input:\n" * (MANY // 4),
        "Input:" + " " * MANY + "x",
        "Output:\n" * (MANY // 4),
        "a\n\nOutput: b\n\n" * (MANY // 16),
        "Country: a\nOutput: b\n" * (MANY // 16),
        "```\n" * MANY,
        "Example 1\n" * (MANY // 4),
        "Task:\n\n" * (MANY // 4),
        "Sure, " * MANY,
        "Sure, here is " + "a" * MANY,
        ("x" * 50 + "\n") * (MANY // 20),
        "Task" + " " * MANY + "9",
        "\u3000" * MANY,
        "(" * MANY,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_hostile_text_takes_no_longer_than_its_length(text: str) -> None:
    start = time.perf_counter()
    for continues in (True, False):
        read_list(text, "stop", first_number=9, continues=continues)
    for opened in (None, "Input:"):
        read_input_first(text, "stop", MARKERS, opened=opened)
    read_output_first(text, "stop", MARKERS, opened="Label:")
    read_direct(text, "stop")
    # Ten times what it takes on a busy machine; quadratic time takes longer.
    assert time.perf_counter() - start < 10
