"""As it was: `selfinstruct/filters/code.py`."""

from __future__ import annotations

import re

_CODE = re.compile(
    r"```|^[ \t]*(?:def |class |import |from \w+ import|return\b|#include|</?\w+|@\w+|//|/\*)"
    r"|^[ \t]*(?:SELECT|FROM|WHERE|GROUP BY|ORDER BY|INSERT INTO|UPDATE|CREATE TABLE)\b"
    r"|^[ \t]*(?:for|while|if|elif|else|try|except)\b[^\n]{0,200}:[ \t]*$"
    r"|[{};][ \t]*$|^ {4}\S|^[ \t]*[\w.\[\]]+(?:, ?\w+)* ?[-+*/]?= ?\S",
    re.MULTILINE,
)


def is_code(text: str) -> bool:
    """Whether a line of the text can only be code, or it has a code fence."""
    return bool(_CODE.search(text))
