"""Whether a text repeats its prompt: the frames of the templates, or the instruction.

Only our own frames count. A markdown heading is none, and neither is an example in a docstring that
says `Input:`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice

from selfinstruct.common.records import Markers
from selfinstruct.common.scan import ascii_words, has_any
from selfinstruct.filters.code import is_code

_FRAME = (
    r"#{1,6} *(?:Task|Answer)[ \t]*+:?+[ \t]*+$|#{1,6} *(?:Instruction|Response) *:"
    r"|###[ \t]*$|Task:"
)
_FRAME_LINE = re.compile(rf"^(?:{_FRAME})", re.MULTILINE)
_FRAME_INSIDE = re.compile(
    r"(?:^|[.?!:;)\"”] )(?:#{3,6} *(?:Task|Answer|Input|Output|Label|Instruction|Response)\b|Task:)"
    r"|(?:^| )###(?: |$)|^#{1,6} *(?:Task|Answer|Input|Output|Label)\b",
)
_EXAMPLE = re.compile(
    r"\b(?:examples?|samples?|e\.g|for instance|format|constraints|test cases?|function)\b",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
# A call on a line of its own, such as print("x").
_PROGRAM_LINE = re.compile(
    r"^[ \t]*[A-Za-z_][\w.]{0,60}\([^\n]{0,300}\)[ \t]*+;?+[ \t]*+(?:(?:#|//)[^\n]*)?$",
    re.MULTILINE,
)
_WORD = re.compile(r"\w+")
# A shorter instruction may well be the beginning of its answer.
_LEAST_WORDS = 3


def echoes_proposal(text: str, prompt_lines: frozenset[str]) -> bool:
    """Whether an instruction is a line of its prompt, or holds a frame or an instance.

    Args:
        text: one line; the lines of the completion are joined.
        prompt_lines: the proposal template's own lines, casefolded.
    """
    if text.casefold() in prompt_lines:
        return True
    if has_any(text, ("#", "Task:")) and _FRAME_INSIDE.search(text):
        return True
    if ":" not in text:
        return False
    marker = re.search(r"\b(?:task|input|output|label):(?=\s|$)", text, re.IGNORECASE)
    if marker is None:
        return False
    # A colon at the end announces an input; an example of a program's input is none of ours.
    if marker.end() == len(text) and marker.group().casefold() == "input:":
        return False
    return not _EXAMPLE.search(text, 0, marker.start())


def echoes_frame(text: str, markers: Markers) -> bool:
    """Whether a line of an input or output starts with a frame or a marker of the templates.

    A line that is indented or inside code, and the lines after “Example”, belong to the text.
    """
    prose = _FENCE.sub("\n", text) if "```" in text else text
    if has_any(prose, ("#", "Task:")) and _FRAME_LINE.search(prose):
        return True
    words = (markers.input, markers.output, markers.label)
    marked = _marker_lines(words).search(prose) if has_any(prose, words) else None
    return marked is not None and not _EXAMPLE.search(prose, 0, marked.start())


def echoes_outside_code(text: str, markers: Markers) -> bool:
    """Whether an output has a frame or marker (`echoes_frame`) that is none of its program's.

    What a program prints may stand after it as “Output: 3”.
    """
    if not echoes_frame(text, markers):
        return False
    kept = text
    for marked in _marker_lines((markers.output,)).finditer(text):
        if not _PROGRAM_LINE.search(text, 0, marked.start()) and not is_code(
            text[: marked.start()]
        ):
            return True
        kept = _blanked(kept, marked)
    return echoes_frame(kept, markers)


def _blanked(text: str, marked: re.Match[str]) -> str:
    """Return a text of the same length with another character in place of a marker."""
    return text[: marked.start()] + "." * len(marked.group()) + text[marked.end() :]


@lru_cache(maxsize=8)
def _marker_lines(markers: tuple[str, ...]) -> re.Pattern[str]:
    words = "|".join(re.escape(marker) for marker in markers)
    return re.compile(rf"^(?:\*\*)?(?:{words})", re.MULTILINE)


def repeats_instruction(instruction: str, input: str, output: str) -> bool:
    """Whether the instruction stands in place of the answer, or in the input.

    Code may repeat it: a docstring says what the function does.
    """
    own = _folded(instruction)
    words = own.split(" ")
    if len(words) < _LEAST_WORDS:
        return bool(own) and own == " ".join(_first_words(output, len(words) + 1))
    if _first_words(output, 1) == words[:1]:
        first = _first_words(output, len(words) + 1)
        if first == words or (first[: len(words)] == words and not is_code(output)):
            return True
    given = input.casefold()
    if not all(word in given for word in words) or is_code(input):
        return False
    return f" {own} " in f" {_folded(input)} "


def _first_words(text: str, number: int) -> list[str]:
    return [word.group() for word in islice(_WORD.finditer(text.casefold()), number)]


def _folded(text: str) -> str:
    """Return the words of a text in lower case, with a space between."""
    words = ascii_words(text, "_") if text.isascii() else _WORD.findall(text.casefold())
    return " ".join(words)
