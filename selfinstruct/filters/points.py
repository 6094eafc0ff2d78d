"""Whether an instruction refers to something given that it does not contain.

This decides which template asks for its instances, and which instances lack their input. It is
versioned, since runs keep the decisions of their time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from selfinstruct.common.versions import Versioned
from selfinstruct.filters.phrases import holds_phrase
from selfinstruct.filters.pointing import lacks_what_it_points_to

# Things that an instruction can point to; they must then be in the input.
_GIVEN_THING = (
    r"(?:sentences?|texts?|paragraphs?|passages?|words?|lists?|numbers?|phrases?|emails?|"
    r"messages?|reviews?|statements?|notes?|code|snippets?|tables?|data|recipes?|poems?|"
    r"items?|stor(?:y|ies)|quotes?|headlines?|conversations?|dialogues?|equations?|functions?)"
)
_POINTS = re.compile(
    # the given sentence, the following, given a list, the text below
    r"\bthe (?:\w+ )?(?:given|following|provided|attached|above)\b"
    rf"|\b(?:given|following) (?:an? |the |two |three |some )?(?:\w+ )?{_GIVEN_THING}\b"
    r"|\b(?:given|provided|shown)? ?below\b(?! (?:zero|freezing|average|sea|ground|the |\d))"
    # this sentence, the input; rewrite it; summarize the text in one sentence
    rf"|\b(?:this|these|the next) (?:\w+ )?{_GIVEN_THING}\b|\bthe input\b"
    r"|^(?!(?:is|was|are|were|do|does|did|has|have|had|can|could|will|would|should|may|might|how|"
    r"why|what|when|where|who|if)\b)\w+ (?:it|this|that|them|these|those)\b"
    r"(?! (?:is|are|was|you|we|can|makes?|\w+ of)\b)"
    rf"|^(?:\w+ ){{1,6}}the (?:\w+ )?{_GIVEN_THING}"
    r"(?: of (?:numbers|words|items|names|ingredients))?"
    r"(?=$|[.,;:?!]| (?:in|into|to|so|as|and|using|without|with|by|for x)\b"
    r"(?! (?:your|my|which)\b))",
    re.IGNORECASE,
)
# A bracket counts from the nearest one that opens, so that `[[[[` is looked at once.
_IN_BRACKETS = r"\[[^\[\]]*[^\]]\]|\{[^{}]*[^}]\}"
_QUOTED_OR_SHOWN = re.compile(rf"[\"“”`]|:\s*\S|{_IN_BRACKETS}")


def points_to_input(instruction: str) -> bool:
    """Whether the instruction refers to something given that it does not contain (English)."""
    return bool(_POINTS.search(instruction)) and not _QUOTED_OR_SHOWN.search(instruction)


POINTS_TO_INPUT = Versioned(points_to_input, (3, lacks_what_it_points_to))

# A quotation, or text after a colon, of any script. 《…》 is a title, and shows nothing.
_SHOWN = re.compile(rf"[\"“”„«»「『`]|[:：]\s*\S|{_IN_BRACKETS}")  # noqa: RUF001


def points_to_given(instruction: str, phrases: Sequence[str]) -> bool:
    """Whether the instruction has a phrase that refers to something that it does not contain."""
    return holds_phrase(instruction, phrases) and not _SHOWN.search(instruction)


def refers_to_input(instruction: str, version: int, limits: Any) -> bool:
    """Whether the instruction refers to something given that it does not contain.

    Args:
        instruction: its text.
        version: of the rules.
        limits: section `instances` of the config: its phrases replace the English ones.
    """
    if limits.input_phrases:
        return points_to_given(instruction, limits.input_phrases)
    return POINTS_TO_INPUT.at(version)(instruction)
