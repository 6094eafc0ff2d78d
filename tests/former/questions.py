"""As it was: `selfinstruct/filters/questions.py`."""

from __future__ import annotations

import re

_MARK = re.compile(r"[?？؟][^\w?？؟]*$")
_ASKS = re.compile(
    r"^\W*(?:what|whats|who|whom|whose|which|when|where|why|how|is|are|was|were|do|does|did|can|could|"
    r"will|would|should|shall|has|have|had|may|might|must)\b",
    re.IGNORECASE,
)


def is_question(text: str) -> bool:
    """Whether a text ends with a question mark, or starts as a question does (English)."""
    return bool(_MARK.search(text) or _ASKS.match(text))
