"""Inputs and outputs as models write them, and the instances that are read from them."""

from __future__ import annotations

import pytest

from selfinstruct.common.records import Markers, ParsedInstance
from selfinstruct.verdicts.parse.instances import read_direct, read_input_first, read_output_first

MARKERS = Markers()
GERMAN = Markers("Eingabe:", "Ausgabe:", "Kategorie:", "kategorie", ("keine",))
CHINESE = Markers("输入：", "输出：", "标签：", "标签", ("无",))
VIETNAMESE = Markers("Đầu vào:", "Đầu ra:", "Nhãn:", "nhãn", ("không",))


def pairs_of(
    text: str, opened: str | None = None, markers: Markers = MARKERS
) -> list[tuple[str, str]]:
    return checked(text, read_input_first(text, "stop", markers, opened=opened))


def labels_of(text: str, opened: str | None = None) -> list[tuple[str, str]]:
    return checked(text, read_output_first(text, "stop", MARKERS, opened=opened))


def checked(text: str, instances: list[ParsedInstance]) -> list[tuple[str, str]]:
    for one in instances:
        assert text[slice(*one.input_span)] == one.input
        assert text[slice(*one.output_span)] == one.output
    return [(one.input, one.output) for one in instances]


@pytest.mark.parametrize(
    ("input", "output"),
    [
        ("Input:", "Output:"),
        ("Input :", "Output :"),
        ("INPUT:", "OUTPUT:"),
        ("input:", "output:"),
        ("**Input**:", "**Output**:"),
        ("**Input:**", "**Output:**"),
        ("*Input:*", "*Output:*"),
        ("__Input__:", "__Output__:"),
        ("### Input:", "### Output:"),
        ("### Input\n", "### Output\n"),
        ("## **Input**\n", "## **Output**\n"),
        ("###Input:", "###Output:"),
        ("**Input**\n", "**Output**\n"),
        ("[Input]:", "[Output]:"),
        ("[Input]\n", "[Output]\n"),
        ("- Input:", "- Output:"),
        ("* **Input:**", "* **Output:**"),
        ("> Input:", "> Output:"),
        ("Input：", "Output："),
        ("Input 1:", "Output 1:"),
        ("Input #1:", "Output #1:"),
        ("Example Input:", "Example Output:"),
        ("Sample input:", "Expected output:"),
        ("Input text:", "Output text:"),
        ("Input (a number):", "Output (text):"),
        ("Input:", "Answer:"),
        ("Input:", "**Response:**"),
        ("Input:", "Result:"),
        ("\tInput:", "  Output:"),
    ],
)
def test_markers_in_any_dress(input: str, output: str) -> None:
    assert pairs_of(f"{input} two\n{output} four") == [("two", "four")]
    assert pairs_of(f"{input}\ntwo\nlines\n\n{output}\nfour\n") == [("two\nlines", "four")]
    many = f"{input} a\n{output} b\n\n{input} c\n{output} d"
    assert pairs_of(many) == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize("markers", [GERMAN, CHINESE, VIETNAMESE])
@pytest.mark.parametrize("dress", ["{}", "**{}**", "### {}", "{} "])
def test_markers_in_the_words_of_the_templates(markers: Markers, dress: str) -> None:
    input, output = dress.format(markers.input), dress.format(markers.output)
    assert pairs_of(f"{input} a\n{output} b", markers=markers) == [("a", "b")]
    bare = f"{markers.input.rstrip(':：')}：a\n{markers.output.rstrip(':：').upper()}: b"
    assert pairs_of(bare, markers=markers) == [("a", "b")]
    assert pairs_of(f" a\n{output} b", markers.input, markers) == [("a", "b")]
    assert pairs_of("Input: a\nOutput: b", markers=markers) == [("a", "b")]


def test_markers_that_are_no_words_are_taken_literally() -> None:
    assert pairs_of("(in) a\n[out] b", markers=Markers("(in)", "[out]")) == [("a", "b")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Country: France\nOutput: Paris", [("Country: France", "Paris")]),
        ("France\nOutput: Paris", [("France", "Paris")]),
        ("The fox ran.\nIt was red.\n\nOutput: A fox.", [("The fox ran.\nIt was red.", "A fox.")]),
        ("Example 1\nCountry: France\nOutput: Paris", [("Country: France", "Paris")]),
        ("Task: Name the capital.\nFrance\nOutput: Paris", [("France", "Paris")]),
        ("Sure, here is an example:\n\nFrance\nOutput: Paris", [("France", "Paris")]),
        ("Sure, here is an example:\n\nOutput: Paris", [("", "Paris")]),
        ("Here is the output:\nOutput: Paris", [("", "Paris")]),
        (
            "Country: France\nOutput: Paris\nCountry: Spain\nOutput: Madrid",
            [("Country: France", "Paris"), ("Country: Spain", "Madrid")],
        ),
        (
            "France\nOutput: Paris\n\nSpain\nOutput: Madrid",
            [("France", "Paris"), ("Spain", "Madrid")],
        ),
        (
            "France\nOutput: Paris\nSpain\nOutput: Madrid",
            [("France", "Paris"), ("Spain", "Madrid")],
        ),
        ("None\nOutput: Paris", [("", "Paris")]),
    ],
)
def test_text_before_an_output_is_its_input(text: str, expected: list[tuple[str, str]]) -> None:
    assert pairs_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Output: print("x")\n# prints\nOutput: 3', [("", 'print("x")\n# prints\nOutput: 3')]),
        (
            'Input: a\nOutput: print("x")\n# prints\nOutput: 3',
            [("a", 'print("x")\n# prints\nOutput: 3')],
        ),
        (
            "Input: a\nOutput:\n```\nInput: x\nOutput: y\n```",
            [("a", "```\nInput: x\nOutput: y\n```")],
        ),
        ("Output: see the output: it is 3", [("", "see the output: it is 3")]),
        ("Output: a: 1\ninput: 2\noutput: 3", [("", "a: 1\ninput: 2\noutput: 3")]),
        ("Output: a\n\nOutput: b", [("", "a"), ("", "b")]),
        ("Output 1: a\nOutput 2: b", [("", "a"), ("", "b")]),
        ("Input: a\nOutput: b\nInput: c\nOutput: d", [("a", "b"), ("c", "d")]),
        ("```\nInput: a\nOutput: b\n```", [("a", "b")]),
        ("Input: a\nOutput: b\n\nTask: a new one\nInput: c\nOutput: d", [("a", "b")]),
        ("Input: a\nOutput: b\n\n###\n\nTask: a new one\nOutput: d", [("a", "b")]),
        (
            "Output: My list\nTask: buy milk\nTask: sleep",
            [("", "My list\nTask: buy milk\nTask: sleep")],
        ),
        (
            "Output: # A title\n\n### A heading\n\nText.",
            [("", "# A title\n\n### A heading\n\nText.")],
        ),
    ],
)
def test_a_marker_inside_an_output_does_not_split_it(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert pairs_of(text) == expected


@pytest.mark.parametrize(
    "between",
    [
        *("Example 2", "Example 2:", "**Example 2**", "### Example 2", "EXAMPLE 2:", "Example #2"),
        *("---", "###", "===", "Beispiel 2:", "示例2：", "Ví dụ 2:", "Instance 2", "Test case 2"),
        "---\n\n### Example 2",
    ],
)
def test_a_separator_ends_an_example(between: str) -> None:
    text = f"Input: a\nOutput: b\n\n{between}\n\nInput: c\nOutput: d"
    assert pairs_of(text) == [("a", "b"), ("c", "d")]
    text = f"Country: a\nOutput: b\n{between}\nCountry: c\nOutput: d\n{between}"
    assert pairs_of(text) == [("Country: a", "b"), ("Country: c", "d")]
    assert labels_of(f"Label: a\nInput: b\n{between}\nLabel: c\nInput: d") == [
        ("b", "a"),
        ("d", "c"),
    ]


def test_a_row_of_stars_may_be_the_output() -> None:
    assert pairs_of("Output:\n***\n***\n***") == [("", "***\n***\n***")]
    assert pairs_of("Output: ---") == [("", "---")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Output:\n    pi = 3.14\n    return pi", "    pi = 3.14\n    return pi"),
        ("Output:\n\n\tx = 1\n\n", "\tx = 1"),
        ("Output:  x\n    y", "x\n    y"),
        ("Output: \n  - a\n  - b", "  - a\n  - b"),
        ("Output:\n Paris", "Paris"),
        ("Output:\r\n    x = 1\r\n", "    x = 1"),
    ],
)
def test_the_first_line_keeps_its_indentation(text: str, expected: str) -> None:
    assert pairs_of(text) == [("", expected)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Paris.", "Paris."),
        ("\n    x = 1\n    y = 2\n", "    x = 1\n    y = 2"),
        ("    x = 1\n    y = 2", "    x = 1\n    y = 2"),
        ("  Paris.\nIt lies in France.", "Paris.\nIt lies in France."),
    ],
)
def test_a_whole_answer_keeps_the_indentation_of_a_block(text: str, expected: str) -> None:
    [instance] = read_direct(text, "stop")
    assert instance.output == expected == text[slice(*instance.output_span)]


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("Input: 2 + 2, Output: 4", None, [("2 + 2", "4")]),
        (" 2 + 2 Output: 4", "Input:", [("2 + 2", "4")]),
        (" 2 + 2 **Output:** 4\n", "Input:", [("2 + 2", "4")]),
        (" 2 + 2\nOutput: 4", "Input:", [("2 + 2", "4")]),
        ("Input: 2 + 2\nOutput: 4", "Input:", [("2 + 2", "4")]),
        (" none\nAnswer: 4", "Input:", [("", "4")]),
        ("Input: see Output: here\nOutput: b", None, [("see Output: here", "b")]),
        ("Input 1: 2\nInput 2: 3\nOutput: 5", None, [("Input 1: 2\nInput 2: 3", "5")]),
        ("First we add.\nAnswer: 4", None, []),
        ("Input: a", None, []),
        ("4", None, []),
        ("", "Input:", []),
    ],
)
def test_input_first(text: str, opened: str | None, expected: list[tuple[str, str]]) -> None:
    assert pairs_of(text, opened) == expected


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("Label: good\nInput: tasty", None, [("tasty", "good")]),
        ("**Label:** good\n**Input:** tasty", None, [("tasty", "good")]),
        ("LABEL: good\nINPUT: tasty", None, [("tasty", "good")]),
        ("Class label: good\nInput: tasty", None, [("tasty", "good")]),
        ("Category: good\nInput: tasty", None, [("tasty", "good")]),
        (" good\nInput: a\nLabel: bad\nInput: b", "Label:", [("a", "good"), ("b", "bad")]),
        (
            " good\nReview: a\nLabel: bad\nReview: b",
            "Label:",
            [("Review: a", "good"), ("Review: b", "bad")],
        ),
        (
            "Label 1: good\nInput 1: a\n\nLabel 2: bad\nInput 2: b",
            None,
            [("a", "good"), ("b", "bad")],
        ),
        ("Input: a\nLabel: good\nInput: b\nLabel: bad", None, [("a", "good"), ("b", "bad")]),
        ("Label: good\nLabel: bad\nInput: b", None, [("", "good"), ("b", "bad")]),
        ("Label: good\n\nTask: new\nLabel: x\nInput: y", None, [("", "good")]),
        ("Label: good", None, [("", "good")]),
        ("good", None, []),
    ],
)
def test_output_first(text: str, opened: str | None, expected: list[tuple[str, str]]) -> None:
    assert labels_of(text, opened) == expected


@pytest.mark.parametrize(
    "marker",
    ["Output:", "**Output:**", "### Answer\n", "Answer:", "Response:", "答案：", "Ausgabe:"],
)
def test_a_marker_before_a_whole_answer_is_none_of_it(marker: str) -> None:
    text = f"{marker} Paris.\nIt lies in France."
    [instance] = read_direct(text, "stop")
    assert instance.output == "Paris.\nIt lies in France." == text[slice(*instance.output_span)]
    assert instance.cut == marker.strip()
    [instance] = read_direct(f"It is Paris.\n{marker} Paris.", "stop")
    assert (instance.output, instance.cut) == (f"It is Paris.\n{marker} Paris.", None)


def test_the_spans_of_an_instance() -> None:
    [instance] = read_input_first("Input:  ab \n**Output:** cde\n", "stop", MARKERS, opened=None)
    assert (instance.input_span, instance.output_span) == ((8, 10), (24, 27))


def test_the_token_limit_truncates_what_it_cut() -> None:
    first, second = read_input_first(
        "Input: a\nOutput: b\nInput: c\nOutput: d", "length", MARKERS, opened=None
    )
    assert (first.truncated, second.truncated) == (False, True)
    [whole] = read_input_first("Input: a\nOutput: b\nInput: c", "length", MARKERS, opened=None)
    assert not whole.truncated
    [whole] = read_input_first("Output: b\n\n###\n\nTask: c", "length", MARKERS, opened=None)
    assert not whole.truncated
    [cut] = read_direct("a", "length")
    assert cut.truncated


def test_what_stands_before_the_first_marker_is_recorded_as_cut() -> None:
    text = "Of course! Here is an example:\n\nInput: a\nOutput: b"
    [instance] = read_input_first(text, "stop", MARKERS, opened=None)
    assert instance.cut == "Of course! Here is an example:"
