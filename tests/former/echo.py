"""As it was: `selfinstruct/filters/echo.py`."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice

from selfinstruct.common.records import Markers
from tests.former.code import is_code

_FRAME = (
    r"#{1,6} *(?:Task|Answer)[ \t]*+:?+[ \t]*+$|#{1,6} *(?:Instruction|Response) *:"
    r"|###[ \t]*$|Task:"
)
_FRAME_LINE = re.compile(rf"^(?:{_FRAME})", re.MULTILINE)
_EXAMPLE = re.compile(
    r"\b(?:examples?|samples?|e\.g|for instance|format|constraints|test cases?|function)\b",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_WORD = re.compile(r"\w+")
_LEAST_WORDS = 3


def echoes_frame(text: str, markers: Markers) -> bool:
    """Whether a line of an input or output starts with a frame or a marker of the templates.

    A line that is indented or inside code, and the lines after “Example”, belong to the text.
    """
    prose = _FENCE.sub("\n", text)
    if _FRAME_LINE.search(prose):
        return True
    marked = _marker_lines((markers.input, markers.output, markers.label)).search(prose)
    return marked is not None and not _EXAMPLE.search(prose, 0, marked.start())


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
        return bool(own) and own == _folded(output)
    first = [word.group() for word in islice(_WORD.finditer(output.casefold()), len(words) + 1)]
    if first == words:
        return True
    starts = first[: len(words)] == words and not is_code(output)
    inside = not is_code(input) and f" {own} " in f" {_folded(input)} "
    return starts or inside


def _folded(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
