"""Whether a text leaves gaps for its reader to fill.

A letter by a person may say `[name]` where no name is known. So what could be known by nobody is
allowed in a longer text, as long as it is little of it; a gap in place of the answer is not.
"""

from __future__ import annotations

import re

from selfinstruct.common.scan import folded, has_any
from selfinstruct.filters.code import is_code

# Patterns of a text in lower case (`folded`) are tried only where their first letter stands.
# Words in brackets. Plain bracketed text such as [1, 2] or [sic] does not match.
_WORDS = (
    r"(?:your|insert|enter|add|any|some|the|recipient|customer|company|product|user|client|"
    r"candidate|event|name|first|last|full|city|country|state|address|date|time|day|month|year|"
    r"number|amount|title|topic|subject|email|phone|noinput|no input|none|input|output|text|"
    r"sentence|word|placeholder|blank|link|url|image|price|location|position|job|school|friend)"
)
_BRACKETED = re.compile(rf"\[(?<![\w\])]\[)(?:{_WORDS})(?:['’]s)?(?:[ _/-][\w'’ _/-]{{0,60}})?\]")
_TAG = re.compile(rf"<(?:{_WORDS})(?:[ _/-][\w'’ _/-]{{0,60}})?>")
# An answer that was left out, whatever stands around it.
_LEFT_OUT = re.compile(
    r"[\[<](?:none|no ?input|no output|blank|placeholder|(?:insert|enter|add|your) [\w'’ /-]{0,40}"
    r"(?:here|answer|text|response|input|output)|(?:your )?(?:answer|text|response|output|input)"
    r"(?: here)?)[\]>]"
)
_LOREM = re.compile(r"\blorem ipsum\b")
_BLANK = re.compile(r"_{4,}|\bX{4,}\b")
_BRACES = re.compile(r"\{\{[^{}\n]{0,80}\}\}")
_MARKUP = re.compile(r"</\w|<\w+[^<>]{0,80}/>|<\w+ \w+=")
_IN_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_ASKS_FOR_GAPS = re.compile(
    r"\b(?:templates?|placeholders?|fill[- ]?in|blanks?|forms?|mad libs?|cloze|missing words?|"
    r"brackets?|boilerplate|mask(?:ed|s)?)\b",
    re.IGNORECASE,
)
# A gap in so many words is fine in a text of so many.
_WORDS_FOR_A_GAP = 12
_LONG = 25


def leaves_gaps(text: str, instruction: str = "", *, blanks: bool = True) -> bool:
    """Whether a text leaves gaps for its reader, instead of content.

    Args:
        text: an instruction, input or output.
        instruction: the task; one that asks for a template or for gaps may have them.
        blanks: whether `____` counts: it does not in a question or in an input.
    """
    return _has_gaps(text, blanks=blanks) and not _ASKS_FOR_GAPS.search(instruction)


def _has_gaps(text: str, *, blanks: bool) -> bool:
    prose = _IN_CODE.sub(" ", text) if "`" in text else text
    low = folded(prose)
    is_markup = "<" in prose and bool(_MARKUP.search(prose))
    in_brackets, in_tags = "[" in prose and "]" in prose, "<" in prose and ">" in prose
    if not is_markup:
        closes = has_any(prose, "[<") and has_any(prose, "]>")
        if (closes and _LEFT_OUT.search(low)) or ("lorem ipsum" in low and _LOREM.search(low)):
            return True
        if "{{" in prose and "}}" in prose and _BRACES.search(prose) and not is_code(prose):
            return True
    gaps = len(_BRACKETED.findall(low)) if in_brackets else 0
    gaps += len(_TAG.findall(low)) if in_tags and not is_markup else 0
    gaps += len(_BLANK.findall(prose)) if blanks and has_any(prose, ("____", "XXXX")) else 0
    if not gaps:
        return False
    words = len(prose.split())
    return words < _LONG or gaps * _WORDS_FOR_A_GAP > words
