"""Characters that a screen obeys or hides: control codes, marks of direction, zero-width marks.

A text may hold them to look like another one (Boucher and Anderson 2021, arXiv:2111.00169). Data
keep them. What people look at shows them as marks, and JSON writes them as escapes. Lone surrogates
are among them, which no file can be written with.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Joiners belong to the spelling of Persian or Hindi, and to emoji; between Latin letters they hide.
_JOINERS = "\u200c\u200d"
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_LINES = "\u2028\u2029"
_HIDDEN = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ud800-\udfff"
)
_TAGS = "\U000e0000-\U000e007f"
_LINE_BREAK = re.compile(f"[{_LINES}]")
_MARKS = re.compile(f"[{_CONTROL}{_HIDDEN}{_LINES}{_TAGS}]|(?<=[\x00-\x7f])[{_JOINERS}]")


def visible(text: str) -> str:
    """Return text with each such character as a mark, such as `⟨U+202E⟩`; lines stay lines."""
    return _MARKS.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n"))


def without_controls(text: str) -> str:
    """Return text without such characters; a separator of lines becomes a line break."""
    return _MARKS.sub("", _LINE_BREAK.sub("\n", text))


def json_text(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON for a screen or a program: letters as they are, marks as escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # An escape ends in a letter or a digit, after which a joiner hides.
    while (escaped := _MARKS.sub(lambda m: _escape(m[0]), text)) != text:
        text = escaped
    return text


def _escape(character: str) -> str:
    # `json` escapes no ASCII character above the space: not DEL.
    return json.dumps(character)[1:-1] if character > "\x7f" else f"\\u{ord(character):04x}"
