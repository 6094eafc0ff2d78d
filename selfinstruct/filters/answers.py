"""Whether an instruction holds its own answer (English).

Only what can hardly be anything else counts: a question and “- They are …”, “Answer: …”, “The
answer is …”, a number, a name, or a sentence that answers.
"""

from __future__ import annotations

import re

# After a question: a dash, and a sentence that is no request.
_DASH = re.compile(
    r"\?[\"”')]?\s*[-–—]\s*(?:they|it|he|she|there|the|an?|yes|no|this|that|these|those|i|we|"
    r"because|by|in|on|\d[\d,.]*)\b",
    re.IGNORECASE,
)
_LABELLED = re.compile(
    r"[.?!:\"”')\]]\s*(?:[-–—(]\s*)?"
    r"(?:\*\*)?(?:(?i:(?:correct |the |final )?answer|ans|solution)|A)(?:\*\*)?\s*[:=]\s*(?=\S)",
)
_SAID = re.compile(
    r"[.?!\"”']\s*(?:so |thus |therefore,? )?the (?:correct |right |final )?"
    r"(?:answer|solution|result) (?:is|would be|was):?\s+(?=\S)",
    re.IGNORECASE,
)
# The shape of an answer is asked for, not given.
_SHAPE = re.compile(
    r"\bor\b|/|[\[<{|]|_{2,}|\.\.\.|…|\bB\s*[:=)]|\b(?:yes|no|true|false)\W+(?:yes|no|true|false)\b"
    r"|\b(?:should|must|please|format|only|your|if)\b|\?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"^[-+]?[$€£]?\d[\d,./]*\s?(?:%|\w{1,12})?\.?$")
_REPLY = re.compile(
    r"^(?:(?:yes|no), \S|(?:yes|no)[.!]?$|"
    r"(?:it|they|he|she|that) (?:is|are|was|were|has|have|means) \S|it['’]s \S|they['’]re \S|"
    r"because \S)",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"^[A-Z][\w'’-]+(?: (?:(?:da|de|del|di|of|the|van|von) )?[A-Z][\w'’-]+){0,2}\.?$"
)
_REQUEST = re.compile(
    r"^(?:explain|why|how|discuss|describe|justify|elaborate|please|thanks|thank|write|give|list|"
    r"show|name|use|answer|choose|select|provide|compare|support|include|be|keep|state|tell|true|"
    r"false|yes|no|note|hint|consider|assume|help|what|which|who|round|solve|calculate|find|"
    r"express|prove|define|identify|analyze|suppose)\b",
    re.IGNORECASE,
)
_MORE = re.compile(r"[.!]\s+\S")
_HEDGE = re.compile(
    r"^(?:it is (?:known|given|said|assumed)|they are (?:given|asked))", re.IGNORECASE
)


def holds_answer(text: str) -> bool:
    """Whether an instruction continues with its own answer."""
    if _DASH.search(text):
        return True
    for pattern in (_LABELLED, _SAID):
        match = pattern.search(text)
        if match and not _SHAPE.search(text, match.end()):
            return pattern is _LABELLED or not _MORE.search(text, match.end())
    _, asked, rest = text.rpartition("?")
    rest = rest.strip(" \"”')")
    if not asked or not rest:
        return False
    if _NUMBER.match(rest):
        return True
    if _NAME.match(rest) and not _REQUEST.match(rest):
        return True
    return not _MORE.search(rest) and bool(_REPLY.match(rest)) and not _HEDGE.match(rest)
