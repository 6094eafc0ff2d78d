"""No regular expression of the package takes the square of a hostile text."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from selfinstruct.prompts import kinds
from tests.patterns import Use, hostile, of_templates, uses

# What takes less than 200 ns for a character at this size is not looked at further.
FIRST = 1_024
MOST_SECONDS = FIRST * 200e-9
# So much longer, a text takes 8 times as long, or 64 times.
FACTOR, MOST_GROWTH = 8, 28
LIMIT_SECONDS = 1.0
# Of a pattern of prompts.yaml, which sees 601 characters of an instruction.
MOST_SECONDS_OF_TEMPLATES = 0.06


class TooLongError(Exception):
    """A call was stopped."""


@contextmanager
def limited() -> Iterator[None]:
    """Stop what takes too long: `re` looks at signals while it matches, and so does `regex`."""

    def stop(*_: object) -> None:
        raise TooLongError

    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def seconds(use: Use, text: str, tries: int = 1) -> float:
    times = []
    for _ in range(tries):
        started = time.process_time()  # a busy machine does not count
        try:
            with limited():
                use.apply(text)
        except TooLongError:
            return float("inf")
        times.append(time.process_time() - started)
    return min(times)


def grows(use: Use, text: Callable[[int], str]) -> bool:
    """Whether the time for a text of a size grows faster than the size."""
    first = seconds(use, text(FIRST), 5)
    return first > MOST_SECONDS and seconds(use, text(FIRST * FACTOR), 5) > MOST_GROWTH * first


def superlinear(use: Use) -> tuple[str, str, str] | None:
    """Return the (head, repeated, tail) for which the time grows faster than the text."""
    for head, repeated, tail in hostile(use.pattern):

        def text(size: int, parts: tuple[str, str, str] = (head, repeated, tail)) -> str:
            return parts[0] + parts[1] * (size // len(parts[1])) + parts[2]

        # What is exponential stops here.
        if seconds(use, text(64)) == float("inf"):
            return head, repeated, tail
        if seconds(use, text(FIRST)) < MOST_SECONDS:
            continue
        if grows(use, text) and grows(use, text):
            return head, repeated, tail
    return None


USES = uses()


def test_all_patterns_are_found() -> None:
    where = {use.where for use in USES}
    assert "selfinstruct.filters.text._CODE_LINE" in where
    assert any(name.startswith("selfinstruct.prompts.library._SENTENCE") for name in where)
    assert any(name.startswith("selfinstruct.verdicts.parse.lists:") for name in where)  # a literal
    assert any("_keyword_pattern" in name for name in where)  # made by a function
    assert len(USES) > 180


def test_no_pattern_takes_the_square_of_a_text() -> None:
    slow = {use.where: (use.method, worst) for use in USES if (worst := superlinear(use))}
    assert slow == {}


def test_patterns_of_templates_take_little_time() -> None:
    """They see so few characters that even a square of them is little: 1 to 15 ms at worst."""
    most = kinds._MOST_CHARACTERS + 1
    slow = {}
    for use in of_templates():
        for head, repeated, tail in hostile(use.pattern):
            text = (head + repeated * (most // len(repeated)) + tail)[:most]
            started = time.process_time()
            with limited():
                use.apply(text)
            seconds = time.process_time() - started
            if seconds > MOST_SECONDS_OF_TEMPLATES:
                slow[use.where] = seconds, (head, repeated, tail)
    assert slow == {}
    assert len(of_templates()) > 40


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"(?m)^\s*(?:def |class )", "search"),
        (r"\[[^\]]+\]", "search"),
        (r"\s+(?:answer|say)\b[^.]{0,80}$", "finditer"),
        (r"#{1,6}\s+(.*?)\s*#*\s*$", "match"),
        (r"(?s)<!--.*?-->", "finditer"),
        (r"[?!]\W*$", "search"),
        (r"(?:a+)+$", "match"),
    ],
)
def test_the_test_finds_slow_patterns(pattern: str, method: str) -> None:
    assert superlinear(Use("here", re.compile(pattern), method)) is not None
