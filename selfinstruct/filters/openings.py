"""Whether a text is only an opening to the user (“Sure, here is a poem:”), with nothing after it.

A parser cuts an opening off where the text goes on. (English)
"""

from __future__ import annotations

import re

from selfinstruct.filters.text import is_chatty

# The rest of a sentence, or of the line that announces something.
_SENTENCE = re.compile(r"[^.!?:\n]*(?:[.!?:\n]+\s*|\Z)")
_ASKS_BACK = re.compile(
    r"^\W*+(?:(?:could|can|would) you )?(?:please,? )?"
    r"(?:provide|share|send|paste|give me|tell me|let me know|what would you like|"
    r"what can i|how can i|how may i|what do you need|feel free to)\b",
    re.IGNORECASE,
)
_HAS_CONTENT = re.compile(r"[\"“”`]|\d.*\d|,.*,")
_LONG = 16
_QUESTION = 5
_MOST_SENTENCES = 6


def is_only_opening(text: str) -> bool:
    """Whether nothing is left of a text without its chatty sentences."""
    rest, opened = text, False
    for _ in range(_MOST_SENTENCES):
        if not rest.strip() or not (is_chatty(rest) or (opened and _ASKS_BACK.match(rest))):
            break
        end = _SENTENCE.match(rest).end()  # type: ignore[union-attr]
        sentence, rest = rest[:end], rest[end:]
        if not rest.strip() and _says_something(sentence):
            return False
        opened = True
    return opened and not rest.strip()


def _says_something(sentence: str) -> bool:
    """Whether a sentence that starts like an opening is the answer itself."""
    end = sentence.rstrip()[-1:]
    if end == ":":
        return False
    if end == "?" and not _ASKS_BACK.match(sentence):
        return len(sentence.split()) >= _QUESTION
    return len(sentence.split()) >= _LONG or bool(_HAS_CONTENT.search(sentence))
