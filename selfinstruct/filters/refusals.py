"""Whether a text declines its task, or speaks of itself as a language model (English).

What is quoted is not the model's own word. People also write that they are sorry and unable to
come: such a phrase counts where the model answers with it, and not in a letter that was asked for.
"""

from __future__ import annotations

import re

from selfinstruct.common.scan import folded, has_any
from selfinstruct.filters.quoted import Quoted, Quotes

_QUOTED = Quoted(Quotes('"“', '"”', 400))
_BE = r"(?:i ?['’]?m|i am|we['’]re|we are)"
_CAN_NOT = r"(?:cannot|can ?['’]?t|can not|won['’]?t|will not|am not able to|am unable to)"
_WORK = (
    r"(?:assist|provide|fulfill|fulfil|comply|answer|do that|access|browse|create|generate|"
    r"complete|perform|process|respond|determine|offer|engage|view|see the|open the|identify|"
    r"help (?:you|with)|help\W*$)"
)
# Where a sentence or a clause begins.
_BEGINS = r"(?:^\W{0,9}|[.!?,;:—–-]\s|\b(?:but|and|so|unfortunately|sorry|however|because|since) )"
# Speaks of itself.
_MODEL = re.compile(
    r"\bas an? (?:ai|artificial intelligence|language model|large language model)\b"
    r"(?! (?:engineer|researcher|expert|specialist|developer|company|startup|student|scientist))"
    r"|\ban ai (?:assistant|designed|model|language model)\b(?=,? (?:i|and i|my|so i|designed)\b)"
    rf"|\b{_BE} (?:just |only |merely )?an? "
    r"(?:ai|artificial intelligence|language model|large language model|virtual assistant)\b"
    r"(?! (?:engineer|researcher|expert|specialist|developer|company|startup|student|scientist))"
    r"|\byour (?:helpful |friendly )?ai assistant\b|\bmy previous responses?\b",
    re.IGNORECASE,
)
# Declines. "I can't help but smile" does not.
_DECLINES = re.compile(
    rf"{_BEGINS}(?:i (?:\w+ )?{_CAN_NOT} {_WORK}(?! (?:but|feeling|thinking|wondering|noticing))"
    rf"|(?:i ?['’]?m|i am) (?:not able|unable) to {_WORK})",
    re.IGNORECASE,
)
# No text without one of them declines, or speaks of a model.
_DECLINES_WORDS = ("can", "won", "will not", "able to")
_MODEL_WORDS = (
    "artificial intelligence",
    "language model",
    "virtual assistant",
    "my previous response",
)
_I_CAN_NOT = re.compile(
    rf"i(?: (?:\w+ )?{_CAN_NOT} |(?: ?['’]?m| am) (?:not able|unable) to )(?:{_WORK})"
)
_AI = re.compile(r" ai\b")
_HERE_WORDS = ("here to help", "here to assist")
_SORRY = re.compile(
    rf"^\W*+(?:{_BE} |unfortunately,? )?(?:sorry|afraid),? "
    r"(?:but (?:i|no|that|this|there|the|it|you|as|we|your)\b|i (?:can|do|am|don|have no)"
    r"|that i can|for (?:any|the) (?:confusion|inconvenience|mis))"
    r"|^\W*+sorry, (?:that|this|it)\b",
    re.IGNORECASE,
)
_HERE_TO_HELP = re.compile(rf"\b{_BE} here to (?:help|assist)\b", re.IGNORECASE)
# Tasks whose answer may decline, apologise, or speak as a machine.
_ASKS_FOR_LETTER = re.compile(
    r"\b(?:apolog\w*|declin\w+|refus\w+|reject\w*|excuse|sorry|cancel\w*|resign\w*|e-?mails?|"
    r"letters?|messages?|repl(?:y|ies)|respond(?:ing)?|dialogues?|conversations?|customers?|"
    r"invitations?|texts? to|notes? to|turn(?:ing)? down|story|scene|role)\b",
    re.IGNORECASE,
)
_ASKS_FOR_MACHINE = re.compile(
    r"\b(?:ai|robots?|chat ?bots?|androids?|language models?|assistants?|machines?|computers?|"
    r"pretend|imagine|role|act as)\b",
    re.IGNORECASE,
)
_SHORT = 25


def declines(text: str, instruction: str = "") -> bool:
    """Whether a text is a refusal.

    Args:
        text: of the model.
        instruction: what it answers; empty if it is an instruction itself.
    """
    own = _QUOTED.replaced(text, " ") if has_any(text, '"“') else text
    low = folded(own)
    if _may_decline(low) and _DECLINES.search(own) and not _speaks_for_people(own, instruction):
        return True
    if _SORRY.match(own) and not _ASKS_FOR_LETTER.search(instruction):
        return True
    return _speaks_as_model(own, low) and not _ASKS_FOR_MACHINE.search(instruction)


def _speaks_as_model(own: str, low: str) -> bool:
    if (has_any(low, _MODEL_WORDS) or (" ai" in low and _AI.search(low))) and _MODEL.search(own):
        return True
    if not (has_any(low, _HERE_WORDS) and _HERE_TO_HELP.search(own)):
        return False
    return len(own.split()) <= _SHORT


def _may_decline(low: str) -> bool:
    """Whether a text in lower case has an “I”, and behind it what `_DECLINES` looks for.

    A pattern that starts with a letter is tried at this letter only.
    """
    return has_any(low, _DECLINES_WORDS) and bool(_I_CAN_NOT.search(low))


def _speaks_for_people(own: str, instruction: str) -> bool:
    """Whether “I cannot” stands in a letter that was asked for, and does not open the answer."""
    declined = _DECLINES.search(own)
    is_letter = bool(_ASKS_FOR_LETTER.search(instruction))
    return is_letter and declined is not None and len(own[: declined.start()].split()) > 3
