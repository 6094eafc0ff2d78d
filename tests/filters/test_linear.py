"""All checks take time that grows with a hostile text, not with its square."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from selfinstruct.common.records import Markers
from selfinstruct.filters import text as texts
from selfinstruct.filters.answers import holds_answer
from selfinstruct.filters.code import is_code
from selfinstruct.filters.copies import copies_shown, own_starts
from selfinstruct.filters.echo import echoes_frame, echoes_proposal, repeats_instruction
from selfinstruct.filters.endings import ends_open, is_unfinished
from selfinstruct.filters.instance_rules import INSTANCE_RULES
from selfinstruct.filters.instruction_rules import INSTRUCTION_RULES, UNSUITABLE_KEYWORDS
from selfinstruct.filters.length import count_words
from selfinstruct.filters.ngrams import ngrams
from selfinstruct.filters.novelty.tokens import Tokenizer, choose_tokenizer_3, tokens_3
from selfinstruct.filters.openings import is_only_opening
from selfinstruct.filters.phrases import starts_with_phrase
from selfinstruct.filters.placeholders import leaves_gaps
from selfinstruct.filters.pointing import announces_input, announces_output, lacks_what_it_points_to
from selfinstruct.filters.points import points_to_given, points_to_input
from selfinstruct.filters.questions import is_question, stands_alone
from selfinstruct.filters.refusals import declines
from selfinstruct.filters.repetition import repeated_share
from selfinstruct.filters.rule import InstanceFacts, InstructionFacts, Rule
from selfinstruct.filters.similarity import normalised
from selfinstruct.filters.statements import asks_nothing
from selfinstruct.filters.unsuitable import needs_senses
from selfinstruct.inputs.documents import _sections
from selfinstruct.verdicts.parse.first import parse_input_first, parse_proposal

KEYWORDS = tuple(UNSUITABLE_KEYWORDS)
RULES_ON = SimpleNamespace(keywords=KEYWORDS, forbidden_starts=())


def first_check(rules: list[Rule], name: str) -> Callable[[Any, Any], bool]:
    """Return the check of the first version of a rule."""
    check = next(rule for rule in rules if rule.name == name).breaks
    assert check is not None
    return check


ECHOES = first_check(INSTANCE_RULES, "prompt_echo")
STATEMENT = first_check(INSTRUCTION_RULES, "not_a_task")
KEYWORD = first_check(INSTRUCTION_RULES, "keywords")
CHECKS: dict[str, Callable[[str], object]] = {
    "answers": holds_answer,
    "code": is_code,
    "copies": lambda text: copies_shown(text, (text[:-1], "a b c")),
    "own words": own_starts,
    "proposal": lambda text: echoes_proposal(text, frozenset()),
    "frame": lambda text: echoes_frame(text, Markers()),
    "instruction": lambda text: repeats_instruction(text, text, text + "x"),
    "unfinished": is_unfinished,
    "open": ends_open,
    "opening": is_only_opening,
    "gaps": leaves_gaps,
    "points": lacks_what_it_points_to,
    "input": announces_input,
    "output": announces_output,
    "refusal": declines,
    "repetition": repeated_share,
    "statement": asks_nothing,
    "senses": lambda text: needs_senses(text, KEYWORDS),
    "old: gaps": texts.has_placeholder,
    "old: refusal": texts.is_refusal,
    "old: chatty": texts.is_chatty,
    "old: unfinished": texts.ends_unfinished,
    "old: repetition": texts.repetition,
    "old: echo": lambda text: ECHOES(InstanceFacts("Write it.", text, text), None),
    "old: statement": lambda text: STATEMENT(InstructionFacts(text), None),
    "old: points": points_to_input,
    "old: keywords": lambda text: KEYWORD(InstructionFacts(text), RULES_ON),
    "phrases: points": lambda text: points_to_given(f"translate {text}", ("translate",)),
    "phrases": lambda text: starts_with_phrase(text, ("als ki", "natürlich")),
    "question": is_question,
    "alone": stands_alone,
    "words": count_words,
    "ngrams": lambda text: list(ngrams(text)),
    "tokens": lambda text: (choose_tokenizer_3(text, "auto"), tokens_3(text, Tokenizer.UNICODE)),
    "normal": normalised,
    "markup": lambda text: list(_sections(text)),
    "old: list": lambda text: parse_proposal(text, "stop", first_number=9, continues=True, tag="a"),
    "old: pairs": lambda text: parse_input_first(text, "stop", Markers(), opened=None),
}
# Each is repeated: what opens and never closes, what nearly matches, runs of one character.
PIECES = [
    *("“", '"', "`", "[", "[name ", "<name ", "{{", "{", "(", "_", "X", "-", "#", "*", "1", "a"),
    *(" ", "\n", "\n\n ", "\t", "? ", "?", ": ", ":", ". ", "! A: ", "; ", ", ", "|", "=", "@"),
    *("A: \n", "the answer is ", ". the answer is \n", "Sure! ", "Sure, ", "Here is a ", "the "),
    *("I ", "i cannot ", "i'm sorry, ", "write a ", "returns the ", "given ", "the given list "),
    *("draw a big ", "show the old ", "in the old ", "input: ", "Input:\n", "### ", "###\n", "\\"),
    *("```", '"""', "<a b=", "</", "<a ", "1. ", "a. ", "def ", "for x ", "x, ", "word- ", "。"),
    *("„", "<name>", "<name></a>", "<!--", "![", "[a](", "**a ", "# ", "say ", "please answer "),
    *("translate a ", "the following ", "please ", "- they ", "http:", "x_y(", "for ", "é"),
]
SHORT, LONG = 2_000, 16_000


def seconds(check: Callable[[str], object], text: str, tries: int = 1) -> float:
    """The least processor time of some tries: others use the machine too."""
    times = []
    for _ in range(tries):
        started = time.process_time()
        check(text)
        times.append(time.process_time() - started)
    return min(times)


@pytest.mark.parametrize("name", CHECKS)
def test_8_times_the_text_takes_about_8_times_the_time(name: str) -> None:
    check = CHECKS[name]
    slow = []
    for piece in PIECES:
        for head, tail in (("", ""), ("Write it. Then ", " end\n.x")):
            short, long = (head + piece * (size // len(piece)) + tail for size in (SHORT, LONG))
            # A quadratic check takes 64 times as long.
            if seconds(check, long) > 0.02:
                first, last = seconds(check, short, 5), seconds(check, long, 5)
                if last > 40 * first:
                    slow.append((piece, first, last))
    assert slow == []
