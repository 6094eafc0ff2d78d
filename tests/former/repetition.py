"""As it was: `selfinstruct/filters/repetition.py`."""

from __future__ import annotations

import re

_FENCE = re.compile(r"```.*?(?:```|\Z)|\"\"\".*?(?:\"\"\"|\Z)", re.DOTALL)
_CODE_WORD = re.compile(r"[_()=<>{}\[\]]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_CODE_LINE = re.compile(
    r"[{};]\s*$|^\s*(?:def|class|import|return|for|if|while|else|elif)\b.*[:;)]$"
)
_VALUES = frozenset({"true", "false", "t", "f"})
_MARKED = re.compile(
    r"^[ \t]*(?:[-*•+][ \t]+|\(?(?:[A-Za-z]|\d{1,3}|[ivxIVX]{1,4})[.):][ \t]+"
    r"|[^\W\d_][\w .'’-]{0,30}:[ \t])"
)
_LEAST_MARKED = 2
_RUN = 8
_LEAST_WORDS = 12
_LEAST_LETTERS = 0.6


def repeated_share(text: str) -> float:
    """Return the share of runs of 8 words that occurred before in the text's prose, in [0, 1].

    Code, docstrings, formulas, tables and numbers are left out. Texts of fewer than 12 words
    give 0: a repeat in so short a text means nothing.
    """
    words = [
        word
        for line in _FENCE.sub("\n", text).splitlines()
        if is_prose(line)
        for word in map(str.casefold, _WORD.findall(_without_code(line)))
        if word not in _VALUES
    ]
    if len(words) < _LEAST_WORDS:
        return 0.0
    runs = [tuple(words[place : place + _RUN]) for place in range(len(words) - _RUN + 1)]
    return 1 - len(set(runs)) / len(runs)


def without_parallel_lines(text: str) -> str:
    """Return a text without its options and records: data, whose lines may well be alike.

    They are lines with a mark such as “A.”, “2)” or “Name:”, two or more, no two of them the same
    but for their marks.
    """
    lines = text.splitlines()
    marked = [line for line in lines if _MARKED.match(line)]
    bodies = {" ".join(_MARKED.sub("", line).split()).casefold() for line in marked}
    if len(marked) < _LEAST_MARKED or len(bodies) < len(marked):
        return text
    return "\n".join(line for line in lines if not _MARKED.match(line))


def _without_code(line: str) -> str:
    return " ".join(word for word in line.split() if not _CODE_WORD.search(word))


def is_prose(line: str) -> bool:
    """Whether most characters of a line are letters, and it is no row of a table and no code."""
    dense = "".join(line.split())
    if not dense or dense.count("|") > 1 or _CODE_LINE.search(line):
        return False
    letters = sum(char.isalpha() for char in dense)
    return letters >= _LEAST_LETTERS * len(dense)
