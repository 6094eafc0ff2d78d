"""The parsers that were made fast for long texts read as they did before (tests/former)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.common.records import Markers
from selfinstruct.verdicts.parse import (
    first,
    items,
    markers,
    marks,
    pairs,
    sections,
    spans,
    unnumbered,
)
from tests.former import first as former_first
from tests.former import items as former_items
from tests.former import markers as former_markers
from tests.former import marks as former_marks
from tests.former import pairs as former_pairs
from tests.former import sections as former_sections
from tests.former import spans as former_spans
from tests.former import unnumbered as former_unnumbered
from tests.former.texts import TEXTS

PLACES = st.integers(0, 30)


def rows(records: Iterable[Any]) -> list[list[str]]:
    """Return records of two classes of one name as what can be compared."""
    return [[str(getattr(one, name)) for name in _names(one)] for one in records]


def _names(record: Any) -> tuple[str, ...]:
    return getattr(record, "_fields", ()) or tuple(field.name for field in fields(record))


@settings(deadline=None)
@given(TEXTS, PLACES, PLACES)
def test_marks_of_items(given: str, start: int, number: int) -> None:
    start = min(start, len(given))
    for name in ("number_marks", "bullet_marks"):
        new, old = (getattr(module, name)(given) for module in (marks, former_marks))
        assert rows(new) == rows(old)
    for end in (len(given), max(start, len(given) - 3)):
        new, old = (
            module.inline_marks(given, start, end, number)  # type: ignore[attr-defined]
            for module in (marks, former_marks)
        )
        assert rows(new) == rows(old)
    assert marks.looks_whole(given) == former_marks.looks_whole(given)


@settings(deadline=None)
@given(TEXTS, PLACES, PLACES)
def test_markers(given: str, start: int, cut: int) -> None:
    start, end = min(start, len(given)), max(0, len(given) - cut)
    new, old = (m.find_examples(given, start, end) for m in (markers, former_markers))
    assert rows(new) == rows(old)
    new, old = (m.find_tasks(given, end) for m in (markers, former_markers))
    assert rows(new) == rows(old)
    for input, outputs in (
        ("Input:", ("Output:",)),
        ("<<in>>", markers.OTHER_OUTPUTS),
        (" Input", markers.OTHER_INPUTS),
    ):
        new = markers.find_markers(
            given, ((markers.Role.INPUT, (input,)), (markers.Role.OUTPUT, outputs))
        )
        role = former_markers.Role
        old = former_markers.find_markers(given, ((role.INPUT, (input,)), (role.OUTPUT, outputs)))
        assert rows(new) == rows(old)


@settings(deadline=None)
@given(TEXTS, PLACES, PLACES)
def test_values(given: str, start: int, cut: int) -> None:
    start = min(start, len(given))
    end = max(start, len(given) - cut)
    for new, old in (
        (sections.value_span, former_sections.value_span),
        (spans.without_ornaments, former_spans.without_ornaments),
        (unnumbered.whole_lines, former_unnumbered.whole_lines),
    ):
        assert new(given, start, end) == old(given, start, end)  # type: ignore[operator]
    assert sections.before_first(given, end) == former_sections.before_first(given, end)
    span = spans.trimmed(given, start, end)
    assert items._without_notes(given, span) == former_items._without_notes(given, span)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 12), st.booleans(), st.sampled_from(["stop", "length"]))
def test_first_parsers(given: str, number: int, continues: bool, finish: str) -> None:
    assert first.clean_instruction(given) == former_first.clean_instruction(given)
    new, old = (
        module.parse_proposal(given, finish, first_number=number, continues=continues)
        for module in (first, former_first)
    )
    assert new == old
    for opened in (None, "Input:", "Output:"):
        read = first.parse_input_first(given, finish, Markers(), opened=opened)
        assert read == former_first.parse_input_first(given, finish, Markers(), opened=opened)


_LINES = st.lists(
    st.sampled_from(["", " ", "**", "__", "# ", "- ", "> ", "Example ", "[", "\t"])
    | st.sampled_from(["Input", "input", "Output", "Eingabe", "输入", "label", "Ответ", "x"])
    | st.sampled_from([" 1", " 2", " #3", "(4)", " text", " (a: b)", "（a：b）", "(", ")"])
    | st.sampled_from([":", "：", " :", "**:", ":**", "::", ": x", ":x:", ": (y)", " ", "**", "]"]),
    min_size=1,
    max_size=6,
).map("".join)
LINES = st.tuples(
    st.lists(_LINES, min_size=1, max_size=6),
    st.lists(st.integers(0, 5), min_size=1, max_size=30),
).map(lambda both: "\n".join(both[0][place % len(both[0])] for place in both[1]))


@settings(deadline=None, max_examples=400)
@given(LINES)
def test_lines_that_occur_again(given: str) -> None:
    role, former_role = markers.Role, former_markers.Role
    for of_input in (("Input:",), markers.OTHER_INPUTS, (" Input",)):
        for of_output in (("Output:",), markers.OTHER_OUTPUTS, ("Input:",)):
            new = markers.find_markers(given, ((role.INPUT, of_input), (role.OUTPUT, of_output)))
            old = former_markers.find_markers(
                given, ((former_role.INPUT, of_input), (former_role.OUTPUT, of_output))
            )
            assert sorted(rows(new)) == sorted(rows(old))


@settings(deadline=None, max_examples=400)
@given(LINES | TEXTS)
def test_pairs(given: str) -> None:
    words = ((markers.Role.INPUT, ("Input:",)), (markers.Role.OUTPUT, ("Output:",)))
    found = markers.find_markers(given, words)
    for known in (found, [markers.Marker(markers.Role.INPUT, 0, 0), *found]):
        for end in (len(given), len(given) // 2):
            within = [marker for marker in known if marker.start < end]
            new = pairs.input_first_pairs(given, within, end)
            old = former_pairs.input_first_pairs(given, within, end)
            assert (rows(new[0]), *new[1:]) == (rows(old[0]), *old[1:])
