"""What replaced a slow pattern decides as the pattern did."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selfinstruct.common.records import Markers
from selfinstruct.filters import (
    copies,
    echo,
    endings,
    placeholders,
    pointing,
    points,
    questions,
    refusals,
    statements,
    text,
    unsuitable,
)
from selfinstruct.filters.code import is_code
from selfinstruct.filters.instance_rules import INSTANCE_RULES
from selfinstruct.filters.instruction_rules import UNSUITABLE_KEYWORDS
from selfinstruct.filters.quoted import Quoted, Quotes
from selfinstruct.filters.rule import InstanceFacts
from selfinstruct.inputs.markup import heading_of, without_markup
from selfinstruct.prompts import chat_template, library
from selfinstruct.prompts.text_tokens import TextTokens
from selfinstruct.verdicts.parse import marks

SPACES = [" ", "\n", "\t", "\r", "\r\n", "\x0b", "\x85", "\u2028", "\u3000", "    ", "\n\n", "  "]
LETTERS = ["a", "b", "é", "1", "世", ".", "?", "!", ":", "-", "x y"]


def texts(*pieces: str) -> st.SearchStrategy[str]:
    """Texts of these pieces, of spaces, and of anything else."""
    own = st.sampled_from([*pieces, *pieces, *SPACES, *LETTERS])
    return st.lists(own | st.text(max_size=3), max_size=14).map("".join)


CODE = re.compile(
    r"```|^\s*(?:def |class |import |from \w+ import|return\b|#include|<\w+)"
    r"|^\s*(?:SELECT|FROM|WHERE|GROUP BY|ORDER BY)\b"
    r"|[{};]\s*$|^ {4}\S",
    re.MULTILINE,
)


@given(texts("def ", "class ", "from a import", "return", "<b", "SELECT", "{", "};", ";"))
def test_code(given: str) -> None:
    assert text.looks_like_code(given) == bool(CODE.search(given))


@given(
    texts("###", "Task:", "Input:", "Output:", "\nInput:"),
    st.sampled_from(["Input:", " Input:", "\nInput:", "\t\n##", ""]),
)
def test_markers_at_the_start_of_a_line(given: str, marker: str) -> None:
    rule = next(r for r in INSTANCE_RULES if r.name == "prompt_echo" and r.until is None)
    assert rule.since == 1
    assert rule.breaks is not None
    words = ("###", "Task:", marker, "Output:", "Label:")
    starts = re.compile(r"^\s*(?:" + "|".join(map(re.escape, words)) + ")", re.MULTILINE)
    facts = InstanceFacts("", "", given, markers=Markers(input=marker, output="Output:"))
    assert rule.breaks(facts, None) == bool(starts.search(given) or starts.search(""))


FORM = re.compile(
    r"\s+\(?(?:please )?(?:answer|reply|respond|write|say|choose)\b[^.?!]{0,80}[.!]?\)?$",
    re.IGNORECASE,
)


@given(texts("Answer", " (please answer", "say yes", "write", ".)", "?", "reply\n"))
@example("Is it?  \n Say\n\n")
def test_the_form_of_an_answer(given: str) -> None:
    assert questions._FORM_OF_ANSWER.sub("", given) == FORM.sub("", given)


PLACEHOLDER = re.compile(
    rf"(?<![\w\])])\[(?:{text._PLACEHOLDER_WORDS})(?:['’]s)?(?:[ _/-][\w'’ _/-]*)?\]"
    rf"|<(?:{text._PLACEHOLDER_WORDS})(?:[ _/-][\w'’ _/-]*)?>(?!.*</)"
    r"|\{\{[^{}\n]*\}\}|\bX{4,}\b|_{4,}|\blorem ipsum\b",
    re.IGNORECASE,
)


@given(texts("<name>", "<", ">", "</", "</name>", "<text /", "[name]", "____", "<your name>"))
def test_placeholders(given: str) -> None:
    assert text.has_placeholder(given) == bool(PLACEHOLDER.search(given))


FRAME_LINE = re.compile(
    r"^(?:#{1,6} *(?:Task|Answer)[ \t]*:?[ \t]*$|#{1,6} *(?:Instruction|Response) *:|###[ \t]*$"
    r"|Task:)",
    re.MULTILINE,
)
PROGRAM_LINE = re.compile(
    r"^[ \t]*[A-Za-z_][\w.]{0,60}\([^\n]{0,300}\)[ \t]*;?[ \t]*(?:(?:#|//)[^\n]*)?$", re.MULTILINE
)


@given(texts("# Task", "### Answer", ":", "###", "Task:", "f(", ")", ";", "#", "//", "print(1)"))
def test_frames_and_calls(given: str) -> None:
    for new, old in ((echo._FRAME_LINE, FRAME_LINE), (echo._PROGRAM_LINE, PROGRAM_LINE)):
        assert [m.span() for m in new.finditer(given)] == [m.span() for m in old.finditer(given)]


@given(texts("?", "？", "؟", "a?"))  # noqa: RUF001
def test_a_question_mark_at_the_end(given: str) -> None:
    old = re.search(r"[?？؟]\W*$", given)  # noqa: RUF001
    assert bool(questions._MARK.search(given)) == bool(old)


DANGLING = {
    text.ends_dangling: r"\b(?:an|the|and|or|your|my|their|its|\w{2,}-)$",
    endings.ends_open: r"\b(?:an|the|and|or|your|my|our|their|its|because|although|unless|whereas|"
    r"whose|every|such as|including|\w{2,}-)$",
}


@pytest.mark.parametrize("check", DANGLING)
@given(given=texts("-", "such as", "including", "their", "İ", "\u017fuch a\u017f", "an", "_"))
@example(given="including\n")
def test_a_word_that_needs_another(check: Callable[[str], bool], given: str) -> None:
    assert check(given) == bool(re.search(DANGLING[check], given, re.IGNORECASE))


def repeats(instruction: str, input: str, output: str) -> bool:
    """As it was, with the words of the whole output."""
    own = folded(instruction)
    if own.count(" ") + 1 < 3:
        return bool(own) and own == folded(output)
    if folded(output) == own:
        return True
    starts = not is_code(output) and f"{folded(output)} ".startswith(f"{own} ")
    inside = not is_code(input) and f" {own} " in f" {folded(input)} "
    return starts or inside


def folded(given: str) -> str:
    return " ".join(re.findall(r"\w+", given.casefold()))


WORDS = st.lists(st.sampled_from(["a", "B", "ß", "c.", "{", "def ", "```"]), max_size=6)
SPACED = WORDS.map(" ".join)


@settings(max_examples=500)
@given(SPACED, SPACED, SPACED, st.booleans())
def test_repeats(instruction: str, input: str, output: str, longer: bool) -> None:
    for answer in (output, instruction + (f" {output}" if longer else "")):
        assert echo.repeats_instruction(instruction, input, answer) == repeats(
            instruction, input, answer
        )


BRACKETS = texts("[", "]", "{", "}", "[]", "[[", "]]", "}{", "a" * 398, "b" * 200)
SHOWN = {
    points._QUOTED_OR_SHOWN: r"[\"“”`]|:\s*\S|\[[^\]]+\]|\{[^}]+\}",
    points._SHOWN: r"[\"“”„«»「『`]|[:：]\s*\S|\[[^\]]+\]|\{[^}]+\}",  # noqa: RUF001
    pointing._SHOWN: r"[\"“”`]|:\s*\S|\[[^\]]{1,400}\]|\{[^}]{1,400}\}"
    r"|\b1[.)] ?\S|\ba[.)] ?\S.{1,200}\bb[.)] ?\S",
}


@pytest.mark.parametrize("pattern", SHOWN, ids=["given", "phrases", "version 3"])
@given(given=BRACKETS)
@example(given="[" + "a" * 400 + "]")
@example(given="[" + "a" * 401 + "]")
@example(given="[" + "a" * 399 + "[]")
@example(given="[[]")
def test_what_an_instruction_shows(pattern: re.Pattern[str], given: str) -> None:
    assert bool(pattern.search(given)) == bool(re.search(SHOWN[pattern], given))


QUOTED = {
    copies._QUOTED: r"[\"“”„«「『][^\"“”»」』]{0,600}[\"“”»」』]|`[^`]{0,600}`",
    refusals._QUOTED: r"[\"“][^\"”]{0,400}[\"”]",
    # With limits that a test reaches often, and marks of two kinds that lie in each other.
    Quoted(Quotes("<(", ")>", 3), Quotes("`", "`", 2)): r"[<(][^)>]{0,3}[)>]|`[^`]{0,2}`",
}
MARKS = texts("“", "„", '"', "”", "»", "`", "<", "(", ")", ">", "a" * 399, "b" * 599, "“" * 101)


@pytest.mark.parametrize("quoted", QUOTED, ids=["copies", "refusals", "short"])
@pytest.mark.parametrize("many", ["", "(" * 101 + "„" * 101 + "“" * 101 + "a" * 601])
@settings(max_examples=200)
@given(given=MARKS)
def test_quotations(quoted: Quoted, many: str, given: str) -> None:
    for whole in (many + given, given + many):
        spans = [match.span() for match in re.finditer(QUOTED[quoted], whole)]
        assert list(quoted.spans(whole)) == spans
        assert quoted.replaced(whole, " ") == re.sub(QUOTED[quoted], " ", whole)
        end = len(whole) // 2
        upto = [match.span() for match in re.compile(QUOTED[quoted]).finditer(whole, 0, end)]
        assert list(quoted.spans(whole, end)) == upto


START = re.compile(r"[ \t]*(?:\*\*)?[ \t]*(?P<quote>[\"'“‘«「]?)(?P<letter>[^\W\d_]|$)")


@given(texts("*", "**", '"', "“"), st.integers(0, 9), st.integers(0, 9))
def test_the_start_of_an_item(given: str, start: int, length: int) -> None:
    new, old = (one.match(given, start, start + length) for one in (marks._START, START))
    assert (new and new.groupdict()) == (old and old.groupdict())


MARKUP = (
    (re.compile(r"<!--.*?-->", re.DOTALL), ""),
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), ""),
    (re.compile(r"\[([^\]]+)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),
    (re.compile(r"\*\*(\S.*?\S|\S)\*\*"), r"\1"),
)


def plain(given: str) -> str:
    for pattern, words in MARKUP:
        given = pattern.sub(words, given)
    return given


@settings(max_examples=1000)
@given(
    texts("<!--", "-->", "![", "[", "]", "](", ")", "][", "**", "*", "**a**", "[a](b)", "![a](b)")
)
@example("**a** b**")
@example("<!--> a -->")
@example("[][a](b)")
@example("[a]([b](c)")
def test_markup(given: str) -> None:
    assert without_markup(given) == plain(given)


HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*\s*$")


@given(texts("#", "##", "# ", " #"))
def test_headings(given: str) -> None:
    for line in [*given.splitlines(), ""]:
        found = HEADING.match(line)
        assert heading_of(line) == (found[1] if found else None)


@given(texts("{{", "}}", "{%", "%}", "{", "}", "%"))
def test_tags_of_a_template(given: str) -> None:
    for line in given.splitlines():
        assert library._without_tags(line) == re.sub(r"\{[{%].*?[}%]\}", "", line)


@given(texts("<", ">", "think", ":", "<think>", "</think>", "<a:thinking>"))
def test_a_tag_that_opens_thinking(given: str) -> None:
    found = re.search(r"<([\w:]*think\w*)>\s*\Z", given)
    assert chat_template._opened_thinking(given) == (found[1] if found else None)


NAMES = ["<eos>", "</s>", "<|im_end|>", "eos>", "<|im_end|>x"]


def tokens_of(names: list[str]) -> Callable[[str], str]:
    tokenizer: Any = SimpleNamespace(added_tokens_decoder={}, all_special_tokens=names)
    return TextTokens(tokenizer).without_ending


@given(texts(*NAMES), st.lists(st.sampled_from(NAMES), max_size=4))
def test_control_tokens_at_the_end(given: str, names: list[str]) -> None:
    longest_first = sorted(set(names), key=len, reverse=True)
    any_token = "|".join(map(re.escape, longest_first)) or r"(?!)"
    found = re.search(rf"(?:\s*(?:{any_token}))+\s*\Z", given)
    kept = given[: found.start()] if found else given
    assert tokens_of(names)(given) == (kept if kept.strip() else given)


def plainly_needs_senses(given: str, keywords: tuple[str, ...]) -> bool:
    pattern = unsuitable._pattern(tuple(map(str.casefold, keywords)))
    return bool(keywords) and bool(pattern.search(given))


SHIPPED = tuple(UNSUITABLE_KEYWORDS)


@settings(max_examples=500)
@given(
    texts(
        *("Draw ", "a ", "map", "IMAGE", "this picture", "Please ", "the ", " in ", "attached "),
        *("with a ", "photo.", "ｍap", "maſk", "Kiosk", "diagram below", "FİLE", "straße", "Ω"),  # noqa: RUF001
    ),
    st.sampled_from([SHIPPED, ("mask", "kiosk", "file"), ("Straße",), ("Ω", "map"), ()]),
)
def test_unsuitable_words(given: str, keywords: tuple[str, ...]) -> None:
    assert unsuitable.needs_senses(given, keywords) == plainly_needs_senses(given, keywords)


# As one pattern, with a part that is tried at the start alone.
_ANYWHERE, _AT_START = pointing._POINTS_ANYWHERE.pattern, pointing._POINTS_AT_START.pattern
POINTS = re.compile(f"{_ANYWHERE}|^(?:{_AT_START})", re.IGNORECASE)


def plainly_lacks(given: str) -> bool:
    if pointing._ANNOUNCES.search(given):
        return True
    if pointing._SHOWN.search(given) or pointing._PROGRAM.search(given):
        return False
    if POINTS.search(given):
        return True
    this = pointing._THIS.search(given)
    return this is not None and not pointing._SENTENCE_END.search(given, 0, this.start())


@settings(max_examples=1000)
@given(
    texts(
        *("Rewrite ", "it", "this ", "THE ", "the ", "text", "sentence", " below", "given ", "ıt"),  # noqa: RUF001
        *(
            "following ",
            "list",
            "Write a ",
            "function",
            " that ",
            "returns the ",
            "in an array",
            "1.",
        ),
        *(
            "Translate ",
            "the following text:",
            ":\n",
            "steps:",
            "the next ",
            "word ",
            "ſcript",  # noqa: RUF001
            ".",
        ),
        *("the input", "a) ", "b) ", "“", "these ", "numbers", "class", "İnteger", "Summarize "),
    )
)
@example("Rewrite it")
@example("Say hello.\nRewrite it")
@example("Summarize the text in one sentence")
def test_what_an_instruction_points_to(given: str) -> None:
    assert pointing.lacks_what_it_points_to(given) == plainly_lacks(given)
    for new, old in (
        (pointing.announces_input, pointing._ANNOUNCES),
        (pointing.announces_output, pointing._GOES_ON_AFTER),
    ):
        assert new(given) == bool(old.search(given))


def plainly_asks_nothing(given: str) -> bool:
    if "?" in given or given.endswith(":"):
        return False
    if statements._MORE.search(given) or statements._ANNOUNCES.search(given):
        return False
    if statements._SAID.match(given):
        return not statements._WISH.search(given)
    if not statements._NOUN.match(given) or statements._DUTY.search(given):
        return False
    return not given[0].islower() or given.endswith((".", "!"))


@settings(max_examples=300)
@given(texts("I ", "The ", "sky ", "please", "must ", "so ", "?", ". B", "we're ", "an ", "help"))
def test_statements(given: str) -> None:
    assert statements.asks_nothing(given) == plainly_asks_nothing(given)


def plainly_declines(given: str, instruction: str) -> bool:
    own = refusals._QUOTED.replaced(given, " ")
    if refusals._DECLINES.search(own) and not refusals._speaks_for_people(own, instruction):
        return True
    if refusals._SORRY.match(own) and not refusals._ASKS_FOR_LETTER.search(instruction):
        return True
    if refusals._ASKS_FOR_MACHINE.search(instruction):
        return False
    if refusals._MODEL.search(own):
        return True
    return bool(refusals._HERE_TO_HELP.search(own)) and len(own.split()) <= 25


@settings(max_examples=500)
@given(
    texts("I cannot ", "assist", "As an AI", " ai", "language model", "sorry, but I", "I'm an ai"),
    st.sampled_from(["", "Pretend to be a robot.", "Write a letter.", "Name a bird."]),
)
@example("I'm here to help", "Act as a robot.")
def test_refusals(given: str, instruction: str) -> None:
    assert refusals.declines(given, instruction) == plainly_declines(given, instruction)


@given(
    texts("[name]", "<your name>", "____", "{{x}}", "[your answer here]", "lorem ipsum", "`"),
    st.sampled_from(["", "Fill in the blanks.", "Write a template.", "Name a bird."]),
    st.booleans(),
)
def test_gaps(given: str, instruction: str, blanks: bool) -> None:
    asked = bool(placeholders._ASKS_FOR_GAPS.search(instruction))
    plain = not asked and placeholders.leaves_gaps(given, "", blanks=blanks)
    assert placeholders.leaves_gaps(given, instruction, blanks=blanks) == plain


def plainly_echoes(given: str) -> bool:
    if echo._FRAME_INSIDE.search(given):
        return True
    marker = re.search(r"\b(?:task|input|output|label):(?=\s|$)", given, re.IGNORECASE)
    if marker is None:
        return False
    if marker.end() == len(given) and marker.group().casefold() == "input:":
        return False
    return not echo._EXAMPLE.search(given, 0, marker.start())


@settings(max_examples=300)
@given(texts("###", "# Task", "Task:", "Input:", "output: ", "label:", "example ", ") ", "ınput:"))  # noqa: RUF001
def test_echoes_of_a_proposal(given: str) -> None:
    assert echo.echoes_proposal(given, frozenset()) == plainly_echoes(given)


@given(texts("ß", "я", "字", "ａ"), st.sampled_from(["LATIN", "CYRILLIC", "CJK"]))  # noqa: RUF001
def test_scripts(given: str, script: str) -> None:
    letters = [char for char in given if char.isalpha()]
    inside = sum(unicodedata.name(char, "").startswith(script) for char in letters)
    assert text.script_share(given, script) == (inside / len(letters) if letters else 1.0)
