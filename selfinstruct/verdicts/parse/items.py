"""From the range of a list item to an instruction: its text without marks, titles and labels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from selfinstruct.common.records import ParsedInstruction
from selfinstruct.verdicts.parse.chat import cut_words
from selfinstruct.verdicts.parse.first import clean_instruction
from selfinstruct.verdicts.parse.spans import Span, trimmed, without_open_fence, without_ornaments

_LABEL = re.compile(
    r"\s{0,8}(?:\*\*|__)?(?:task|instruction|aufgabe|anweisung|任务|任務|指令|nhiệm vụ)"
    r"(?:[ \t]?\d{1,4})?(?:\*\*|__)?[ \t]?[:：](?:\*\*|__)?(?=\s|[^\x00-\x7f]|\w)",
    re.IGNORECASE,
)
_QUOTES = (("„", "“"), ("«", "»"), ("「", "」"), ("『", "』"), ("__", "__"), ("*", "*"))
_NOTE = re.compile(r"[ \t]*[-*•–][ \t]+\S")
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！")
_MOST_TITLE_WORDS = 8


@dataclass(frozen=True, slots=True)
class Item:
    """The range of an item behind its mark. `heading`: the mark is bold, or a heading's."""

    number: int
    start: int
    end: int
    heading: bool = False

    def ending(self, end: int) -> Item:
        """Return the same item with another end."""
        return Item(self.number, self.start, end, self.heading)


def instruction_of(text: str, item: Item, tag: str) -> ParsedInstruction | None:
    """Return the instruction of an item; None if nothing is left of it.

    Args:
        text: the completion.
        item: its range.
        tag: text before every task of the prompt's list.
    """
    titled = _after_title(text, item)
    start = _after_tag(text, titled, tag)
    label = _LABEL.match(text, start, item.end)
    start = label.end() if label else start
    whole = without_open_fence(text, without_ornaments(text, start, max(start, item.end)))
    span = _without_notes(text, whole)
    cut = cut_words(text, (item.start, titled), (span.end, whole.end))
    raw = text[span.start : span.end]
    clean = clean_item(raw)
    if not clean:
        return None
    return ParsedInstruction(span.start, span.end, raw, clean, truncated=False, cut=cut)


def clean_item(raw: str) -> str:
    """Collapse whitespace; drop bold marks, and quotation marks around the whole."""
    text = clean_instruction(raw)
    for opening, closing in _QUOTES:
        inner = text[len(opening) : -len(closing)]
        is_around = text.startswith(opening) and text.endswith(closing) and inner.strip()
        if is_around and opening not in inner and closing not in inner:
            text = inner.strip()
    return text


def _after_title(text: str, item: Item) -> int:
    """Return the place behind a title on a line of its own: "**10. Haiku**", then the task."""
    if not item.heading:
        return item.start
    newline = text.find("\n", item.start, item.end)
    if newline < 0 or not text[newline : item.end].strip(" \t\r\n*_"):
        return item.start
    line = text[item.start : newline].rstrip()
    bold = line.endswith(("**", "__"))
    title = line.strip("*_ :：")
    whole = bold or text.rfind("#", text.rfind("\n", 0, item.start) + 1, item.start) >= 0
    if not whole or not title or title.endswith((".", "?", "!", "。", "？")):
        return item.start
    return newline if len(title.split()) <= _MOST_TITLE_WORDS else item.start


def _without_notes(text: str, span: Span) -> Span:
    """Return the range of an instruction without the notes below it.

    A model that is asked for a list of tasks may answer or explain each of them in bullets. Those
    are whole sentences behind a finished one. Options to choose from, and what follows a colon, are
    parts of the task.
    """
    newline = text.find("\n", span.start, span.end)
    if newline < 0:
        return span
    line = text[span.start : newline].rstrip(" \t\r*_\"'”’)")
    if not line.endswith(_SENTENCE_ENDS):
        return span
    notes = text[newline : span.end].splitlines()
    are_notes = all(_is_note(note) for note in notes if note.strip())
    return trimmed(text, span.start, newline) if are_notes else span


def _is_note(line: str) -> bool:
    match = _NOTE.match(line)
    words = line.rstrip(" \t\r*_\"'”’)")
    return match is not None and words.endswith(_SENTENCE_ENDS) and len(words.split()) >= 5


def _after_tag(text: str, start: int, tag: str) -> int:
    """Return where an item begins behind its tag, if it has one."""
    if not tag:
        return start
    words = re.escape(tag.rstrip(":： ")) if tag.rstrip().endswith((":", "：")) else re.escape(tag)
    colon = r"(?:\*\*)?[ \t]?[:：](?:\*\*)?" if tag.rstrip().endswith((":", "：")) else ""
    pattern = re.compile(rf"\s{{0,8}}(?:\*\*)?(?:an?\s+|the\s+)?{words}{colon}", re.IGNORECASE)
    match = pattern.match(text, start)
    return match.end() if match else start
