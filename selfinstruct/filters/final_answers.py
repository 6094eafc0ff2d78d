"""Final answers: where they stand in a completion, and when two of them are the same.

A commit of answers keeps the version that it was judged by, so that a replay finds the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from selfinstruct.common.versions import Versioned
from selfinstruct.filters.length import count_words
from selfinstruct.filters.similarity import forgiving

FINAL_ANSWERS_VERSION = 1

# A task whose known output is longer is open: sampled answers to it hardly ever agree.
MOST_WORDS = 5

_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_LEAD = re.compile(
    r"^(?:so|thus|therefore|hence)?,?\s*(?:the\s+)?(?:final\s+|correct\s+|right\s+)?"
    r"answer(?:\s+is)?\s*[:=]?\s+",
    re.IGNORECASE,
)
_OPTION = re.compile(r"\(?([a-h])(?:\)|[.:](?=\s|$))(?:\s.*)?", re.IGNORECASE | re.DOTALL)
_DECIDED = re.compile(r"(yes|no|true|false)\b(?:\s*[,.;:!–—-].*)?", re.IGNORECASE | re.DOTALL)
_AMOUNT = re.compile(r"(?:[$€£¥]\s*+)?[+-]?\d")
_CURRENCY = re.compile(r"^[$€£¥]\s*(?=\d)")
_WITH_UNIT = re.compile(
    r"([+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)\s*([^\W\d_]+(?:\s[^\W\d_]+){0,2})"
)
# Twelve-hour times: their letters are no unit.
_HALVES = {"am", "pm", "a.m", "p.m"}
_MARKUP = " \t*_`#"


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """A final answer as written, and what it has in common with every answer that is the same."""

    text: str
    key: str


def _after_marker_1(text: str, marker: str) -> str | None:
    """Return what follows the last marker, up to the end of its line; None if there is none."""
    word = re.escape(marker.rstrip(":： "))  # noqa: RUF001
    found = re.findall(rf"(?i){word}[*_ ]*[:：][ \t*_]*\n?([^\n]*)", text)  # noqa: RUF001
    return found[-1].strip(_MARKUP) if found else None


def _key_1(answer: str) -> str:
    boxed = _BOXED.search(answer)
    bare = boxed[1] if boxed else answer.strip().strip(_MARKUP)
    bare = _LEAD.sub("", bare).strip(_MARKUP)
    for pattern in (_OPTION, _DECIDED):
        if match := pattern.fullmatch(bare):
            return match[1].casefold()
    key = forgiving(_CURRENCY.sub("", _result(bare) or bare))
    amount = _WITH_UNIT.fullmatch(key)
    if amount and amount[2].split()[0] not in _HALVES:
        return forgiving(amount[1])
    return key


def _result(text: str) -> str | None:
    """Return what a sum comes to: "11 euros" of "6 + 5 = 11 euros"."""
    first, equals, _ = text.partition("=")
    last = text.rpartition("=")[2].lstrip()
    is_sum = equals and any(map(str.isdecimal, first)) and _AMOUNT.match(last)
    return last if is_sum else None


_AFTER_MARKER = Versioned(_after_marker_1)
_KEY = Versioned(_key_1)


def final_answer(
    text: str, marker: str, version: int = FINAL_ANSWERS_VERSION, *, needs_marker: bool
) -> FinalAnswer | None:
    """Return the final answer of a text; None if it has none.

    It stands after the last marker, on the same line or on the next. Without a marker, it is the
    whole text, unless `needs_marker`.

    Args:
        text: of a completion.
        marker: the word before a final answer, such as `Answer:`.
        version: of these functions.
        needs_marker: whether a text without the marker has no final answer.
    """
    answer = _AFTER_MARKER.at(version)(text, marker)
    if answer is None and not needs_marker:
        answer = text.strip()
    if not answer:
        return None
    key = _KEY.at(version)(answer)
    return FinalAnswer(answer, key) if key else None


def is_closed(output: str, *, is_classification: bool) -> bool:
    """Whether a task has one short answer, by its kind and its known output.

    Args:
        output: the accepted output.
        is_classification: of the task.
    """
    bare = output.strip()
    short = "\n" not in bare and 0 < count_words(bare) <= MOST_WORDS
    return short or (is_classification and "\n" not in bare)
