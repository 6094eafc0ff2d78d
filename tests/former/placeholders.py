"""As it was: `selfinstruct/filters/placeholders.py`."""

from __future__ import annotations

import re

from tests.former.code import is_code

_WORDS = (
    r"(?:your|insert|enter|add|any|some|the|recipient|customer|company|product|user|client|"
    r"candidate|event|name|first|last|full|city|country|state|address|date|time|day|month|year|"
    r"number|amount|title|topic|subject|email|phone|noinput|no input|none|input|output|text|"
    r"sentence|word|placeholder|blank|link|url|image|price|location|position|job|school|friend)"
)
_BRACKETED = re.compile(
    rf"(?<![\w\])])\[(?:{_WORDS})(?:['’]s)?(?:[ _/-][\w'’ _/-]{{0,60}})?\]", re.IGNORECASE
)
_TAG = re.compile(rf"<(?:{_WORDS})(?:[ _/-][\w'’ _/-]{{0,60}})?>", re.IGNORECASE)
_LEFT_OUT = re.compile(
    r"[\[<](?:none|no ?input|no output|blank|placeholder|(?:insert|enter|add|your) [\w'’ /-]{0,40}"
    r"(?:here|answer|text|response|input|output)|(?:your )?(?:answer|text|response|output|input)"
    r"(?: here)?)[\]>]|\blorem ipsum\b",
    re.IGNORECASE,
)
_BLANK = re.compile(r"_{4,}|\bX{4,}\b")
_BRACES = re.compile(r"\{\{[^{}\n]{0,80}\}\}")
_MARKUP = re.compile(r"</\w|<\w+[^<>]{0,80}/>|<\w+ \w+=")
_IN_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_ASKS_FOR_GAPS = re.compile(
    r"\b(?:templates?|placeholders?|fill[- ]?in|blanks?|forms?|mad libs?|cloze|missing words?|"
    r"brackets?|boilerplate|mask(?:ed|s)?)\b",
    re.IGNORECASE,
)
_WORDS_FOR_A_GAP = 12
_LONG = 25


def leaves_gaps(text: str, instruction: str = "", *, blanks: bool = True) -> bool:
    """Whether a text leaves gaps for its reader, instead of content.

    Args:
        text: an instruction, input or output.
        instruction: the task; one that asks for a template or for gaps may have them.
        blanks: whether `____` counts: it does not in a question or in an input.
    """
    if _ASKS_FOR_GAPS.search(instruction):
        return False
    prose = _IN_CODE.sub(" ", text)
    is_markup = bool(_MARKUP.search(prose))
    if _LEFT_OUT.search(prose) and not is_markup:
        return True
    if _BRACES.search(prose) and not is_markup and not is_code(prose):
        return True
    gaps = len(_BRACKETED.findall(prose))
    gaps += 0 if is_markup else len(_TAG.findall(prose))
    gaps += len(_BLANK.findall(prose)) if blanks else 0
    words = len(prose.split())
    return gaps > 0 and (words < _LONG or gaps * _WORDS_FOR_A_GAP > words)
