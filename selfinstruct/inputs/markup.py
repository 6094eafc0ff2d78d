"""Plain text from the marks of Markdown and HTML within paragraphs.

Each step looks at every character a few times at most, whatever is left open in the text: a
pattern such as `<!--.*?-->` would look at the whole rest of it at each `<!--`.
"""

from __future__ import annotations

import re

_BOLD = re.compile(r"\*\*(?=\S)")
_BOLD_END = re.compile(r"(?<=\S)\*\*")
_HEADING = re.compile(r"#{1,6}\s++")


def without_markup(text: str) -> str:
    """Return a text without comments, images, the targets of links, and marks of bold text."""
    return _without_bold(_without_links(_without_images(_without_comments(text))))


def heading_of(line: str) -> str | None:
    """Return the text of a heading (`## Birds ##`), or None for any other line."""
    marks = _HEADING.match(line)
    if marks is None:
        return None
    return line[marks.end() :].rstrip().rstrip("#").rstrip()


def _without_comments(text: str) -> str:
    """Drop `<!-- … -->`."""
    kept, place = [], 0
    while (start := text.find("<!--", place)) >= 0:
        end = text.find("-->", start + 4)
        if end < 0:
            break
        kept.append(text[place:start])
        place = end + 3
    return "".join([*kept, text[place:]])


def _without_images(text: str) -> str:
    """Drop `![…](…)`."""
    kept, place, look = [], 0, 0
    last = text.rfind(")")
    while (start := text.find("![", look)) >= 0:
        close = text.find("]", start + 2)
        if close < 0:
            break
        end = _target_end(text, close + 1, "(", ")", last)
        # Any other that opens before the bracket would end at the same one.
        look = end or close
        if end:
            kept.append(text[place:start])
            place = end
    return "".join([*kept, text[place:]])


def _without_links(text: str) -> str:
    """Leave the words of `[words](…)` and `[words][…]`."""
    kept, place, look = [], 0, 0
    last_round, last_square = text.rfind(")"), text.rfind("]")
    while (start := text.find("[", look)) >= 0:
        close = text.find("]", start + 1)
        if close < 0:
            break
        end = None
        if close > start + 1:
            end = _target_end(text, close + 1, "(", ")", last_round) or _target_end(
                text, close + 1, "[", "]", last_square
            )
        look = end or close
        if end:
            kept += [text[place:start], text[start + 1 : close]]
            place = end
    return "".join([*kept, text[place:]])


def _target_end(text: str, place: int, opening: str, closing: str, last: int) -> int | None:
    """Return the end of a target that opens at a place, if it closes; `last`: the last closing."""
    if last <= place or not text.startswith(opening, place):
        return None
    return text.find(closing, place + 1) + 1


def _without_bold(text: str) -> str:
    """Leave the words of `**words**` on one line; the longer of two readings counts."""
    kept, place, look = [], 0, 0
    # The first end, and the end of the line, that are no nearer than those last looked for.
    close = line = -1
    while opened := _BOLD.search(text, look):
        start = opened.start()
        if close < start + 4:
            ends = _BOLD_END.search(text, start + 4)
            close = ends.start() if ends else len(text)
        if line < start:
            line = text.find("\n", start)
            line = len(text) if line < 0 else line
        end = close if close < line else None
        if end is None and text.startswith("**", start + 3):
            end = start + 3
        look = end + 2 if end else start + 1
        if end:
            kept += [text[place:start], text[start + 2 : end]]
            place = end + 2
    return "".join([*kept, text[place:]])
