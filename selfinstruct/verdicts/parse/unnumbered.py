"""Tasks without any mark, one on each line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selfinstruct.verdicts.parse.chat import is_announcement
from selfinstruct.verdicts.parse.marks import looks_whole
from selfinstruct.verdicts.parse.spans import Span

_FILLED_LINE = re.compile(r"\S[^\n]*+")
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
    preamble = Span(start, start)
    spans: list[Span] = []
    for number, span in enumerate(_lines(text, start, end)):
        line = text[slice(*span)]
        if number == 0 and is_announcement(line):
            preamble = span
        elif _is_sentence(line):
            spans.append(span)
        else:
            return [], preamble
    is_short = len(spans) == 2 and not all(_ASKS.match(text, *span) for span in spans)
    return [] if len(spans) < 2 or is_short else spans, preamble


def _lines(text: str, start: int, end: int) -> Iterator[Span]:
    for line in _FILLED_LINE.finditer(text, start, end):
        yield Span(line.start(), line.start() + len(line.group().rstrip()))


def _is_sentence(line: str) -> bool:
    is_long = len(line.split()) >= 3 or looks_whole(line)
    return line.endswith(_END) and is_long and not line[0].islower()
