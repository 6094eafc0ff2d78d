"""Other words for markers are looked for only where a text may have them, with the same result."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.common.records import Markers
from selfinstruct.verdicts.parse import instances

WORDS = [
    *("Input:", "Output:", "input:", "output:", "Label:", "Eingabe:", "Answer:", "Class:", "\n"),
    *(
        "**Input**",
        "### Output",
        "Input 2:",
        "a b",
        "输入：",  # noqa: RUF001
        "```",
        "Task:",
        "\n\n",
        "Example 1\n",
    ),
]
TEXTS = st.lists(st.sampled_from(WORDS) | st.just(" "), max_size=12).map("".join)
MARKERS = [
    Markers(),
    Markers(input="Text:", output="Eingabe:"),
    Markers(input="###", label="Class:"),
]


@pytest.mark.parametrize("markers", MARKERS, ids=["shipped", "crossed", "literal"])
@settings(max_examples=300, deadline=None)
@given(text=TEXTS, opens=st.booleans())
def test_the_same_instances(markers: Markers, text: str, opens: bool) -> None:
    def read() -> list[object]:
        opened = markers.input if opens else None
        label = markers.label if opens else None
        return [
            instances.read_input_first(text, "stop", markers, opened=opened),
            instances.read_output_first(text, "stop", markers, opened=label),
        ]

    quick = read()
    with mock.patch.object(instances, "may_have", return_value=True):
        assert quick == read()
