"""Whether a text is code, or holds some."""

from __future__ import annotations

import re
from functools import lru_cache

from selfinstruct.common.scan import has_any

_CODE = (
    r"(?:[ \t]*(?:(?:def |class |import |from \w+ import|return\b|#include|</?\w+|@\w+|//|/\*)"
    r"|(?:SELECT|FROM|WHERE|GROUP BY|ORDER BY|INSERT INTO|UPDATE|CREATE TABLE)\b"
    r"|(?:for|while|if|elif|else|try|except)\b[^\n]{0,200}:[ \t]*$"
    r"|[\w.\[\]]+(?:, ?\w+)* ?[-+*/]?= ?\S)| {4}\S)"
)
_START = re.compile(_CODE, re.MULTILINE)
# A pattern that starts with a line break skips the lines; one that starts with `^` does not.
_LINE = re.compile(rf"\n{_CODE}", re.MULTILINE)
_END = re.compile(r"[{};][ \t]*$", re.MULTILINE)


@lru_cache(maxsize=4)
def is_code(text: str) -> bool:
    """Whether a line of the text can only be code, or it has a code fence."""
    if "```" in text or _START.match(text) or _LINE.search(text):
        return True
    return has_any(text, "{};") and bool(_END.search(text))
