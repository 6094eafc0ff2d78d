"""As it was: `selfinstruct/verdicts/parse/unnumbered.py`."""

from __future__ import annotations

import re

from selfinstruct.verdicts.parse.chat import is_announcement
from selfinstruct.verdicts.parse.spans import Span
from tests.former.marks import looks_whole

_END = (".", "?", "!", "。", "？", "！", "…")
_ASKS = re.compile(
    r"(?:add|analy[sz]e|answer|arrange|calculate|categorize|change|choose|classify|come up|compare|"
    r"complete|compose|compute|convert|count|create|decide|define|describe|design|determine|develop|"
    r"discuss|edit|estimate|evaluate|explain|extract|fill|find|fix|generate|give|guess|how|identify|"
    r"imagine|is|list|make|name|organize|outline|paraphrase|plan|predict|propose|provide|rank|read|"
    r"recommend|reply|rewrite|solve|sort|state|suggest|summari[sz]e|tell|translate|turn|use|what|"
    r"when|where|which|who|why|write|are|can|do|does)\b",
    re.IGNORECASE,
)


def whole_lines(text: str, start: int, end: int) -> tuple[list[Span], Span]:
    """Return the lines of a range if each of them is a task, and the range of the preamble.

    Three lines are tasks if each is a sentence; two if each also starts as a task does (English).
    """
    spans = _lines(text, start, end)
    preamble = Span(start, start)
    if spans and is_announcement(text[slice(*spans[0])]):
        preamble, spans = spans[0], spans[1:]
    lines = [text[slice(*span)] for span in spans]
    if len(lines) < 2 or not all(map(_is_sentence, lines)):
        return [], preamble
    if len(lines) == 2 and not all(map(_ASKS.match, lines)):
        return [], preamble
    return spans, preamble


def _lines(text: str, start: int, end: int) -> list[Span]:
    spans = []
    place = start
    for line in text[start:end].split("\n"):
        if words := line.strip():
            left = place + len(line) - len(line.lstrip())
            spans.append(Span(left, left + len(words)))
        place += len(line) + 1
    return spans


def _is_sentence(line: str) -> bool:
    is_long = len(line.split()) >= 3 or looks_whole(line)
    return line.endswith(_END) and is_long and not line[0].islower()
