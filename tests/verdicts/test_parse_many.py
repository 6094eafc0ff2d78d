"""A completion of a thousand candidates: the first are read, what follows is one more."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.records import Form, Markers, ParsedInstance
from selfinstruct.filters.changes_6 import MOST_CANDIDATES
from selfinstruct.verdicts.parse import PARSE_INPUT_FIRST, PARSE_OUTPUT_FIRST, PARSE_PROPOSAL
from selfinstruct.verdicts.parse.markers import Marker, Role, last_example
from selfinstruct.verdicts.parse.sections import OpenOutput, next_input
from selfinstruct.verdicts.parse.spans import Span, trimmed

MANY = MOST_CANDIDATES + 40
LISTS = {
    "numbered": " Name a bird.\n" + "".join(f"{n}. Name bird {n}.\n" for n in range(10, MANY + 9)),
    "bullets": "".join(f"- Name bird number {n}.\n" for n in range(MANY)),
    "lines": "".join(f"Name bird number {n}.\n" for n in range(MANY)),
}
PAIRS = {
    Form.INPUT_FIRST: "".join(f"Input: {n}\nOutput: bird {n}\n" for n in range(MANY)),
    Form.OUTPUT_FIRST: "".join(f"Label: {n}\nInput: bird {n}\n" for n in range(MANY)),
}
PARSERS = {Form.INPUT_FIRST: PARSE_INPUT_FIRST, Form.OUTPUT_FIRST: PARSE_OUTPUT_FIRST}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_too_many_items(name: str) -> None:
    text = LISTS[name]
    whole, read = (
        PARSE_PROPOSAL.at(version)(text, "length", first_number=9, continues=name == "numbered")
        for version in (5, 6)
    )
    assert len(whole) == MANY
    assert read[:-1] == whole[:MOST_CANDIDATES]
    rest = read[-1]
    assert rest.is_rest
    assert not rest.truncated
    assert rest.raw == text[rest.start : rest.end] == text[rest.start :].rstrip()
    assert rest.raw.startswith(whole[MOST_CANDIDATES].raw)


@pytest.mark.parametrize("form", PAIRS)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_too_many_instances(form: Form, finish: str) -> None:
    text = PAIRS[form]
    whole, read = (
        PARSERS[form].at(version)(text, finish, Markers(), opened=None) for version in (5, 6)
    )
    assert len(whole) == MANY
    assert whole[-1].truncated == (finish == "length")
    assert read[:-1] == whole[:MOST_CANDIDATES]
    rest = read[-1]
    assert rest.is_rest
    assert not rest.truncated
    assert not rest.input
    assert rest.output == text[slice(*rest.output_span)] == text[rest.output_span[0] :].rstrip()
    assert rest.output.count("\n") == 2 * (MANY - MOST_CANDIDATES) - 1


def test_an_input_is_read_with_its_output() -> None:
    """Where a task's outputs have two markers each, no instance is cut in two."""
    text = "".join(f"Input: {n}\nOutput: a\nOutput: b {n}\n" for n in range(MANY))
    read = PARSE_INPUT_FIRST.at(6)(text, "stop", Markers(), opened=None)
    assert read[-1].is_rest
    assert read[-1].output.startswith("Input: ")
    assert [one.output for one in read[:-1]] == [f"a\nOutput: b {n}" for n in range(len(read) - 1)]


PIECES = st.sampled_from(
    ["Input: 1\n", "Output: 2\n", "Output: 3", "\n", "Example 2\n", "a word ", "Country: Fiji\n"]
)


@given(st.lists(PIECES, max_size=12), st.integers(1, 3))
def test_what_is_read_stays_the_same(pieces: list[str], most: int) -> None:
    from selfinstruct.verdicts.parse.instances import read_input_first

    text = "".join(pieces)
    whole = read_input_first(text, "stop", Markers(), opened=None)
    read = read_input_first(text, "stop", Markers(), opened=None, most=most)
    kept: list[ParsedInstance] = [one for one in read if not one.is_rest]
    if len(kept) == len(read):
        assert read == whole
    else:
        # The last one may end earlier: what follows it is not read.
        assert kept[:-1] == whole[: max(0, len(kept) - 1)]
        assert len(kept) <= 2 * most


def slowly(
    text: str, searched: int, marker: Marker, current: OpenOutput
) -> tuple[int, Span] | None:
    """`next_input` without its short way."""
    start, stop, input = searched, marker.start, current.input
    last = last_example(text, start, stop)
    if last is not None:
        return last.start, trimmed(text, last.after, stop)
    pattern = re.compile(r"[^\W\d_][^\W_]*(?: [^\W_]+){0,3}[:：]")
    label = None if current.given else pattern.match(text, input.start, input.end)
    if label is not None:
        place = text.rfind(f"\n{label.group()}", start, stop)
        return None if place < 0 else (place, trimmed(text, place, stop))
    if marker.number and marker.number == current.marker.number + 1:
        return stop, Span(stop, stop)
    if current.given:
        return None
    span = trimmed(text, start, stop)
    gap = text.rfind("\n\n", span.start, span.end)
    if input.start == input.end:
        is_apart = text[span.end : stop].count("\n") > 1
        return (stop, Span(stop, stop)) if is_apart else None
    if gap < 0 and "\n" not in text[slice(*input)]:
        gap = text.rfind("\n", span.start, span.end)
    return None if gap < 0 else (gap, trimmed(text, gap, stop))


@given(
    st.lists(st.sampled_from(["a", "\n", " ", "###", "Example 2", "Fiji: b", ":"]), max_size=8),
    st.sampled_from(["", "Fiji: c", "d\ne", "f"]),
    st.booleans(),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_the_short_way_to_the_next_input(
    between: list[str], input: str, given_: bool, numbers: tuple[int, int]
) -> None:
    text = f"{input}\nOutput: {''.join(between)}Output: z"
    for searched in (len(input) + 1, len(input) + 8):
        marker = Marker(Role.OUTPUT, len(text) - 9, len(text) - 2, numbers[1])
        first = Marker(Role.OUTPUT, len(input) + 1, len(input) + 8, numbers[0])
        current = OpenOutput(Span(0, len(input)), given_, first)
        assert next_input(text, searched, marker, current) == slowly(
            text, searched, marker, current
        )
