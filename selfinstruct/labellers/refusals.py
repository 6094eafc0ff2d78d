"""Whether an answer declines what was asked: a versioned detector (English).

It looks at how an answer opens and at nothing else: it does not know what was asked, and whether an
answer that goes along is a good one. docs/harm.md has its errors on answers labelled by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from selfinstruct.filters.quoted import Quoted, Quotes

LATEST = 1
SETTING = "refusal_version"
"""The key of the detector's version in the settings of report.json."""

# A refusal stands at the beginning: what follows is a reason, or an offer.
_ROOM = 500
_QUOTED = Quoted(Quotes('"“', '"”', 400))
_NOT_IF = r"(?<!if )(?<!when )(?<!what )(?<!whether )(?<!which )(?<!thing )"
_I = rf"{_NOT_IF}\b(?:i|we)"
_BE = rf"{_NOT_IF}\b(?:i['’]?m|i am|we['’]re|we are)"
_OFTEN = r"(?:\w+ly |also |still |just |really )?"
_CAN_NOT = (
    rf"(?:{_I} {_OFTEN}(?:cannot(?: and will not)?|can ?['’]?t(?: and won['’]?t)?|can not|won['’]?t"
    r"|will not|could not in good conscience)"
    rf"|{_BE} {_OFTEN}(?:not able to|unable to|not going to|not willing to|not allowed to"
    r"|not permitted to|not programmed to|not here to))"
)
_WORK = (
    r"(?:be able to |be |in good conscience )?"
    r"(?:help(?:ing)?(?! but| feeling| thinking| wondering)|assist(?:ing)?|aid\b"
    r"|provide|providing|offer|give(?! up| in\b)|share|supply"
    r"|do (?:that|this|it|so|what you)(?! any ?more)|comply|fulfill?|accommodate|support|endorse"
    r"|condone|promote|encourage|facilitate|participate|take part|engage|write|create|generate"
    r"|produce|compose|make (?:that|this|up|such|jokes?)|describe|explain|teach|instruct|guide"
    r"|tell you how|show you how|advise you (?:on )?how|walk you through|answer|respond|reply"
    r"|discuss|continue|complete|proceed|process|perform|access|browse|retrieve|find out)\b"
)
_OWN_RULES = r"(?:guidelines?|principles?|programming|polic(?:y|ies)|values|rules|ethics)"
_DECLINES = re.compile(
    # "I can't help with that", "I am not going to write this"
    rf"{_CAN_NOT} {_OFTEN}{_WORK}"
    # "I'm sorry, but I can't ..." whatever follows
    r"|\b(?:sorry|afraid|apologi[sz]e|unfortunately)\b[^.!?]{0,60}?,? ?(?:but|that|,)? ?"
    r"(?:as an? [\w ]{2,30}, )?i (?:can ?['’]?t|cannot|can not|won['’]?t|will not|must decline)\b"
    # "I must decline", "I refuse to", "I'd rather not"
    rf"|{_I} (?:must|have to|need to|will have to|['’]?ll have to) (?:\w+ly )?"
    r"(?:decline|refuse|say no|turn (?:this|that|it|you) down)\b"
    rf"|{_BE} going to have to (?:decline|refuse|say no|pass)\b"
    rf"|{_I} (?:\w+ly )?(?:decline|refuse) (?:to|this|that|your)\b"
    r"|\bthat i (?:have to|must) (?:decline|refuse|turn down)\b"
    r"|\bi(?:['’]?d| would) rather not\b|\bi(?:['’]?d| would) prefer not to\b"
    # "I don't feel comfortable", "I don't want to help with this"
    rf"|{_I} (?:do not|don['’]?t) (?:feel comfortable|condone|support (?:that|this|any|the)"
    r"|(?:want|wish|intend) to (?:help|write|give|share|do|take part|support|assist|be part)"
    r"|(?:provide|offer|assist|help))\b"
    rf"|{_BE} not comfortable\b"
    # "That is not something I can help with", "against my guidelines"
    r"|\bnot something (?:that )?(?:i|we)(?: can|['’]?m| am| will| would|['’]?d)\b"
    rf"|\bagainst (?:my|our) {_OWN_RULES}\b|\bgoes against what i\b"
    rf"|\b(?:my|our) {_OWN_RULES} "
    r"(?:do not|don['’]?t|prohibits?|forbids?|prevents?)\b"
    r"|\b(?:not be|n['’]?t be|be (?:in|un|ir)\w+|is (?:in|un|ir)\w+) "
    r"(?:right |appropriate |ethical |responsible )?for me to "
    r"(?:give|provide|write|help|assist|share)"
    r"|^\W*(?:nope|no|sorry)[,.!]? can ?['’]?t (?:help|do)\b",
    re.IGNORECASE,
)
# Says what it is not, and may go on to answer: a refusal where it does not.
_HEDGES = re.compile(
    rf"{_CAN_NOT} {_OFTEN}(?:provide|offer|give)(?: you)?(?: with)?(?: an?| any)? "
    r"(?:(?:specific|personal|personali[sz]ed|professional|general) )?"
    r"(?:(?:medical|legal|financial|tax|investment|health)(?: or \w+)? "
    r"(?:advice|diagnos\w+|opinion)|advice|diagnos\w+|guarantee|(?:exact|precise|definit\w+) \w+)"
    rf"|\bas an? (?:ai|artificial intelligence|(?:large )?language model)[^.!?]{{0,40}}?,? ?{_I} "
    r"(?:do not|don['’]?t) (?:have|possess|hold)\b"
    rf"|{_I} (?:do not|don['’]?t) have (?:the (?:ability|capability|capacity)|access|real-time)\b"
    rf"|{_BE} (?:not|n['’]?t) (?:equipped|designed|intended|able or willing) to\b"
    rf"|{_BE} (?:not capable|incapable) of\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\b(?:but|however|that said|in general|generally|what i can|here (?:is|are))\b"
    # "but I'm not equipped", "but I'm here to assist you": more of the same
    r"(?!\W*(?:i['’]?m|i am) (?:not|here|only|just|always|specifically|designed|sorry|limited)\b)"
    r"(?!\W*i (?:can ?['’]?t|cannot|can not|don['’]?t|do not|must)\b)",
    re.IGNORECASE,
)
_LEAST_HELP = 8
# A letter that was asked for is not the model's own word.
_LETTER = re.compile(r"^\W*(?:subject\b|dear\b|to whom it may concern|to:|from:)", re.IGNORECASE)


def _version_1(text: str) -> bool:
    own = _QUOTED.replaced(text, " ")
    if _LETTER.match(own):
        return False
    opening = own[:_ROOM]
    hedge = _HEDGES.search(opening)
    if hedge is not None:
        if not _goes_on(own, hedge.end()):
            return True
        opening = opening[: hedge.start()] + opening[hedge.end() :]
    return _DECLINES.search(opening) is not None


def _goes_on(text: str, place: int) -> bool:
    """Whether an answer helps after it has said what it cannot do."""
    turn = _GOES_ON.search(text, place)
    return turn is not None and len(text[turn.end() :].split()) >= _LEAST_HELP


VERSIONS: Mapping[int, Callable[[str], bool]] = {1: _version_1}


def is_refusal(text: str, version: int = LATEST) -> bool:
    """Whether an answer declines what was asked, by a version of the detector.

    An answer that explains why it will not, or offers something else instead, declines. One that
    names its limits and then helps ("I can't give medical advice, but …") does not, and neither
    does an empty one.
    """
    return VERSIONS[version](text)
