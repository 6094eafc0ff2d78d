"""Whether an instruction is a lone statement that asks for nothing (English)."""

from __future__ import annotations

import re

_SAID = re.compile(
    r"^\W{0,20}(?:I|I['’]m|I['’]ve|I['’]ll|I['’]d|we|we['’]re|my|he|she|they|it['’]s)\s",
    re.IGNORECASE,
)
_WISH = re.compile(
    r"\b(?:need|want|wish|please|would like|looking for|help|like (?:you )?to|like a|wonder\w*)\b",
    re.IGNORECASE,
)
_NOUN = re.compile(r"^(?:the|a|an|there|these|those)\s", re.IGNORECASE)
# “The text must be classified” asks for it.
_DUTY = re.compile(r"\b(?:must|should|shall|(?:needs?|has|have|ought|is|are) to)\b", re.IGNORECASE)
_ANNOUNCES = re.compile(r"\b(?:so|please|then)\b", re.IGNORECASE)
_MORE = re.compile(r"[.!?;:]\s+\S")


def asks_nothing(text: str) -> bool:
    """Whether it is one sentence that asks for nothing, such as “The sky is blue.”.

    A fragment that starts in lower case and has no end is a search query, not a statement.
    """
    if _SAID.match(text):
        return not _WISH.search(text) and not _asks_or_goes_on(text)
    if not _NOUN.match(text) or _DUTY.search(text) or _asks_or_goes_on(text):
        return False
    return not text[0].islower() or text.endswith((".", "!"))


def _asks_or_goes_on(text: str) -> bool:
    if "?" in text or text.endswith(":"):
        return True
    return bool(_MORE.search(text) or _ANNOUNCES.search(text))
