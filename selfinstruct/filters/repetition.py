"""How much of a text repeats itself: loops, not the steps of a solution or the lines of a program.

Only prose counts. People repeat a phrase of three words all the time; a model in a loop repeats
whole runs of words.
"""

from __future__ import annotations

import re

from selfinstruct.common.scan import count, has_any, spaced, spelled

_FENCE = re.compile(r"```.*?(?:```|\Z)|\"\"\".*?(?:\"\"\"|\Z)", re.DOTALL)
# Names and calls of a program.
_CODE_MARKS = "_()=<>{}[]"
_CODE_WORD = re.compile(r"[_()=<>{}\[\]]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_STATEMENT = re.compile(r"\s*(?:def|class|import|return|for|if|while|else|elif)\b")
# Bytes of ASCII: letters in lower case, apostrophes, and a space for all else.
_LETTERS = bytes(
    ord(chr(code).lower()) if chr(code).isalpha() or chr(code) == "'" else ord(" ")
    for code in range(256)
)
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_SPACES = bytes(code for code in range(128) if chr(code).isspace())
# Truth tables are full of them.
_VALUES = frozenset({"true", "false", "t", "f"})
_MARKED = re.compile(
    r"^[ \t]*(?:[-*•+][ \t]+|\(?(?:[A-Za-z]|\d{1,3}|[ivxIVX]{1,4})[.):][ \t]+"
    r"|[^\W\d_][\w .'’-]{0,30}:[ \t])"
)
_LEAST_MARKED = 2
_RUN = 8
_LEAST_WORDS = 12
_LEAST_LETTERS = 0.6
_LONG = 2_000


def repeated_share(text: str) -> float:
    """Return the share of runs of 8 words that occurred before in the text's prose, in [0, 1].

    Code, docstrings, formulas, tables and numbers are left out. Texts of fewer than 12 words
    give 0: a repeat in so short a text means nothing.
    """
    prose = _FENCE.sub("\n", text) if "```" in text or '"""' in text else text
    lines = prose.splitlines()
    # A loop says a line again and again.
    of_line = {line: _words_of(line) for line in set(lines) if is_prose(line)}
    words = [word for line in lines if line in of_line for word in of_line[line]]
    if len(words) < _LEAST_WORDS:
        return 0.0
    known: dict[str, str] = {}  # words that are one object are compared at once
    words = list(map(known.setdefault, words, words))
    runs = set(zip(*(words[place:] for place in range(_RUN)), strict=False))
    return 1 - len(runs) / (len(words) - _RUN + 1)


def without_parallel_lines(text: str) -> str:
    """Return a text without its options and records: data, whose lines may well be alike.

    They are lines with a mark such as “A.”, “2)” or “Name:”, two or more, no two of them the same
    but for their marks.
    """
    lines = text.splitlines()
    body_of = {line: line[mark.end() :] for line in set(lines) if (mark := _MARKED.match(line))}
    number = sum(map(body_of.__contains__, lines))
    if number < _LEAST_MARKED or len(body_of) < number:
        return text
    bodies = {" ".join(body.split()).casefold() for body in body_of.values()}
    if len(bodies) < number:
        return text
    return "\n".join(line for line in lines if line not in body_of)


def _words_of(line: str) -> list[str]:
    """Return the words of a line's prose, casefolded."""
    if has_any(line, _CODE_MARKS):
        parts = line.split()
        code = {part for part in set(parts) if _CODE_WORD.search(part)}
        line = " ".join(part for part in parts if part not in code)
    if line.isascii():
        words = line.encode().translate(_LETTERS).decode().split()
        if "'" in line:
            cut = {part: _WORD.findall(part) for part in set(words) if "'" in part}
            words = [word for part in words for word in cut.get(part, (part,))]
    else:
        parts = _letters_of(line)
        folded = {part: part.casefold() for part in set(parts)}
        words = [folded[part] for part in parts]
    if _VALUES.isdisjoint(words):
        return words
    return [word for word in words if word not in _VALUES]


def _letters_of(line: str) -> list[str]:
    """Return the runs of letters of a line, as `_WORD` finds them."""
    if len(line) < _LONG or has_any(line, "'’"):
        return _WORD.findall(line)
    return spaced(line, spelled(line, _kind), alone="-", within="l").split()


def _kind(char: str) -> str:
    return "l" if char.isalnum() and not char.isdecimal() else " "


def is_prose(line: str) -> bool:
    """Whether most characters of a line are letters, and it is no row of a table and no code."""
    if not line.isascii():
        if line.isspace() or line.count("|") > 1 or _is_code(line):
            return False
        dense = "".join(line.split())
        return count(dense, str.isalpha) >= _LEAST_LETTERS * len(dense)
    codes = line.encode()
    letters = len(codes.translate(None, _NO_LETTERS))
    if not letters or letters < _LEAST_LETTERS * len(codes.translate(None, _SPACES)):
        return False
    return line.count("|") <= 1 and not _is_code(line)


def _is_code(line: str) -> bool:
    """Whether a line ends as a statement of a program does."""
    if line.rstrip().endswith(("{", "}", ";")):
        return True
    return line.endswith((":", ";", ")")) and bool(_STATEMENT.match(line))
