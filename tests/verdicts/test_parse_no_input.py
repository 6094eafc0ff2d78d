"""Words for no input, and words that are an input all the same."""

from __future__ import annotations

import pytest

from selfinstruct.common.records import Markers
from selfinstruct.verdicts.parse.instances import read_input_first

MARKERS = Markers()


@pytest.mark.parametrize(
    "words",
    [
        *("None", "none.", "(none)", "[None]", "<none>", "*None*", "`none`", '"none"', "-", "—"),
        *(
            "NA",
            "N/A",
            "N/A.",
            "n.a.",
            "null",
            "Nil",
            "NULL.",
            "No input",
            "<noinput>",
            "<no input>",
        ),
        *(
            "No input required.",
            "No input needed",
            "No input is needed for this task.",
            "(No input)",
        ),
        *("Not applicable", "Not applicable for this task.", "None required", "No input provided."),
        *("No additional input required", "No specific input is required.", "There is no input."),
        *("This task does not require any input.", "The task doesn't need an input."),
        *(
            "Keine",
            "Keine Eingabe",
            "Keine Eingabe erforderlich.",
            "entfällt",
            "Nicht erforderlich",
        ),
        *(
            "无",
            "无。",
            "（无）",
            "没有",
            "无输入",
            "不需要输入",
            "不适用",
            "なし",
            "なし。",
            "入力なし",
        ),
        *("Không", "Không có", "Không cần đầu vào", "Aucune", "Ninguna", "Nessuno", "없음"),
    ],
)
def test_words_for_no_input_are_none(words: str) -> None:
    [instance] = read_input_first(f"Input: {words}\nOutput: 4", "stop", MARKERS, opened=None)
    assert (instance.input, instance.input_span, instance.output) == ("", (0, 0), "4")


@pytest.mark.parametrize(
    "words",
    [
        *(
            "none of the above",
            "[]",
            '""',
            "{}",
            "0",
            "no",
            "No",
            "nein",
            "?",
            "No input device",
            "-5",
        ),
        *("None of them came.", "Not applicable rules are boring", "null = None", "无人机", "Nina"),
    ],
)
def test_other_words_are_an_input(words: str) -> None:
    [instance] = read_input_first(f"Input: {words}\nOutput: 4", "stop", MARKERS, opened=None)
    assert (instance.input, instance.output) == (words, "4")
