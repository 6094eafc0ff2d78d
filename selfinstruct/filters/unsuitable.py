"""Whether an instruction asks for eyes, ears, hands or a disk (English).

“Draw a map”, “what is in this picture” and “open the attached file” do; a problem about 24
photos, a mind map and the plot of a novel do not.
"""

from __future__ import annotations

import re
from functools import lru_cache

from selfinstruct.filters.instruction_rules import UNSUITABLE_KEYWORDS, may_have

_START = r"(?:^|[.!?:;] |\b(?:please|you|then|and|to|or|me) )"
# What is done to a picture, a sound or a file.
_VERBS = (
    r"(?:draw|sketch|plot|paint|record|play|upload|download|open|attach|show|display|look at|view|"
    r"watch|listen to|save|print|export|scan|take|capture|create|make|design|generate|produce|"
    r"build|label|annotate|edit|crop|describe|caption|analy[sz]e|examine|identify|insert|add|"
    r"include|provide|send|use|find|interpret|read|compose|colou?r|compare|classify|mark|study|"
    r"convert|resize|delete|rename|copy|observe|transcribe)"
)
# What is known of these words; a user's own keyword counts wherever it stands.
_SHIPPED = frozenset(UNSUITABLE_KEYWORDS)
# Verbs among the keywords: they ask by themselves.
_DO = frozenset({"draw", "plot", "sketch", "photograph"})
# What an instruction can point at.
_POINTS = r"(?:the|this|these|that|those|following|attached|given|provided|below|above|each)"
_BETWEEN = (
    r"(?:(?!(?:of|for|about|from|with|that|in|on|to|as|by|how|which|if|and|or|"
    # "a mind map", "24 photos": another thing, or one of a story
    r"mind|hash|tree|road|site|concept|story|bit|key|video|music|picture|more|many|"
    r"two|three|four|five|six|seven|eight|nine|ten|(?:twen|thir|for|fif|six|seven|eigh|nine)ty)\b"
    r"|\d)[\w-]+ ){0,3}"
)
# "video game", "music album", "picture book": another thing.
_COMPOUND = (
    r"(?![-\w])(?! (?:games?|gaming|books?|frames?|stores?|shops?|albums?|players?|teachers?|"
    r"schools?|rooms?|lessons?|station|museum|industry|festivals?|theor\w+|of (?:the )?(?:story|"
    r"novel|movie|film|book|play|show)|teachers?|genres?|streaming|taxes|taxe?|traversal|names?|"
    r"systems?|paths?|extensions?|structures?|data|database|algorithms?|function|object|"
    r"comprehension|editing|production|quality|ideas?|topics?|titles?|captions?|scripts?|"
    r"descriptions?|format|conclusions?|attention|scenes?|content)\b)"
)
# What is looked at or listened to; the others are files and deeds.
_LOOKS = frozenset(
    {
        *("image", "images", "picture", "pictures", "photo", "photos", "photograph"),
        *("screenshot", "screenshots", "graph", "graphs", "diagram", "diagrams", "flowchart"),
        *("chart", "video", "videos", "audio", "map", "maps", "drawing", "painting"),
    }
)
_FIGURATIVE = (
    r"(?! (?:a |an |the |some |any |your )?(?:conclusions?|comparisons?|inferences?|parallels?|"
    r"lessons?|attention|distinctions?|connections?|line|cards?|inspiration|twists?|points?|from|"
    r"on|out|upon|up|lots|number|ball|marble|holes?|summary|structure|lines|hook|idea|outline|"
    r"analogy|analogies|analysis|elements?|of)\b)"
)


def needs_senses(text: str, keywords: tuple[str, ...]) -> bool:
    """Whether an instruction needs what a text model lacks.

    Args:
        text: the instruction.
        keywords: things and deeds that a text model cannot handle, in any case. One that we do
            not ship counts wherever it stands, as a whole word.
    """
    words = tuple(map(str.casefold, keywords))
    return may_have(text, words) and bool(_pattern(words).search(text))


@lru_cache(maxsize=8)
def _pattern(keywords: tuple[str, ...]) -> re.Pattern[str]:
    deeds = [re.escape(word) for word in keywords if word in _DO]
    things = [re.escape(word) for word in keywords if word in _SHIPPED - _DO]
    looks = [re.escape(word) for word in keywords if word in _LOOKS]
    others = [re.escape(word) for word in keywords if word not in _SHIPPED]
    parts = []
    if others:
        parts.append(rf"(?<!\w)(?:{'|'.join(others)})(?!\w)")
    if deeds:
        parts.append(rf"{_START}(?:{'|'.join(deeds)}){_FIGURATIVE} \w")
    if things:
        thing = rf"(?:{'|'.join(things)}){_COMPOUND}"
        parts.append(rf"{_START}{_VERBS} {_BETWEEN}{thing}")
        parts.append(
            rf"\b(?:attached|following|provided) (?:[\w-]+ )?{thing}|"
            rf"\b{_POINTS} {thing} (?:below|above|attached|provided|shown|here)\b"
        )
    if looks:
        look = rf"(?:{'|'.join(looks)}){_COMPOUND}"
        parts.append(
            rf"\b(?:shown|seen|depicted|visible|happening|displayed|see|wrong|in|from|about|with) "
            rf"(?:in )?(?:this|these|the) (?:[\w-]+ )?{look}"
            r"(?=$|[.?!,;:]| (?:below|above|attached|shown|provided|and|so)\b)"
        )
        parts.append(rf"\b(?:with|using) (?:a|an) (?:[\w-]+ )?{look}")
    return re.compile("|".join(parts), re.IGNORECASE)
