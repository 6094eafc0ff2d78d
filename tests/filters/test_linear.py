"""The checks of version 3 take time that grows with a hostile text, not with its square."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from selfinstruct.common.records import Markers
from selfinstruct.filters.answers import holds_answer
from selfinstruct.filters.code import is_code
from selfinstruct.filters.copies import copies_shown, own_starts
from selfinstruct.filters.echo import echoes_frame, echoes_proposal, repeats_instruction
from selfinstruct.filters.endings import ends_open, is_unfinished
from selfinstruct.filters.instruction_rules import UNSUITABLE_KEYWORDS
from selfinstruct.filters.openings import is_only_opening
from selfinstruct.filters.placeholders import leaves_gaps
from selfinstruct.filters.pointing import announces_input, announces_output, lacks_what_it_points_to
from selfinstruct.filters.refusals import declines
from selfinstruct.filters.repetition import repeated_share
from selfinstruct.filters.statements import asks_nothing
from selfinstruct.filters.unsuitable import needs_senses

KEYWORDS = tuple(UNSUITABLE_KEYWORDS)
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
}
# Each is repeated: what opens and never closes, what nearly matches, runs of one character.
PIECES = [
    *("“", '"', "`", "[", "[name ", "<name ", "{{", "{", "(", "_", "X", "-", "#", "*", "1", "a"),
    *(" ", "\n", "\n\n ", "\t", "? ", "?", ": ", ":", ". ", "! A: ", "; ", ", ", "|", "=", "@"),
    *("A: \n", "the answer is ", ". the answer is \n", "Sure! ", "Sure, ", "Here is a ", "the "),
    *("I ", "i cannot ", "i'm sorry, ", "write a ", "returns the ", "given ", "the given list "),
    *("draw a big ", "show the old ", "in the old ", "input: ", "Input:\n", "### ", "###\n", "\\"),
    *("```", '"""', "<a b=", "</", "<a ", "1. ", "a. ", "def ", "for x ", "x, ", "word- ", "。"),
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
