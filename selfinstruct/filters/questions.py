"""What an instruction asks: a question, one that names its subject, one with a closed answer."""

from __future__ import annotations

import re

from selfinstruct.common.versions import Versioned
from selfinstruct.filters.length import has_spaceless

_MARK = re.compile(r"[?？؟][^\w?？؟]*$")  # noqa: RUF001
_ASKS = re.compile(
    r"^\W*+(?:what|whats|who|whom|whose|which|when|where|why|how|is|are|was|were|do|does|did|can|could|"
    r"will|would|should|shall|has|have|had|may|might|must)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
# They stand for what was said before: in an instruction, nothing was.
_POINTERS = frozenset(
    (
        *("it", "its", "it's", "this", "that", "that's", "these", "those", "they", "them", "their"),
        *("he", "she", "him", "her", "his", "you", "your", "we", "us", "our", "i", "me", "my"),
        *("there", "here", "one", "ones", "some", "any", "both", "else", "same", "such"),
    )
)
_EMPTY = frozenset(
    (
        *("what", "what's", "who", "who's", "whom", "whose", "which", "when", "where", "why"),
        *("how", "how's", "is", "are", "was", "were", "be", "been", "do", "does", "did", "done"),
        *("can", "could", "will", "would", "should", "shall", "has", "have", "had", "may"),
        *("might", "must", "the", "a", "an", "of", "to", "for", "in", "on", "at", "about", "with"),
        *("and", "or", "not", "no", "so", "then", "now", "next", "up", "more", "much", "many"),
        *("less", "most", "come", "happen", "happens", "happened", "going", "wrong", "matter"),
        *("mean", "means", "next", "other", "others", "also", "too", "again", "ok", "okay"),
    )
)


# What is classified, when it is spoken of with an article: it is in an input.
_CLASSIFIED = re.compile(
    r"\b(?:an?|given|following|each|every) (?:[\w-]+ ){0,2}(?:sentences?|texts?|paragraphs?|"
    r"passages?|words?|lists?|numbers?|phrases?|e-?mails?|messages?|reviews?|statements?|code|"
    r"snippets?|poems?|items?|stor(?:y|ies)|headlines?|articles?|essays?|tweets?|letters?|"
    r"questions?|comments?|posts?|claims?|customers?|products?|strings?|arrays?|patients?)\b",
    re.IGNORECASE,
)
# "The sky" and "the largest" are known; most else that is "the" is in an input.
_DEFINITE = re.compile(
    r"\b[Tt]he (?!(?:sun|moon|earth|sky|world|oceans?|sea|universe|human|capital|same|internet|"
    r"equator|past|future|number \d+|\w+est|most|first|[A-Z])\b|[A-Z])"
)
_FORM_OF_ANSWER = re.compile(
    r"(?<!\s)\s++\(?(?:please )?(?:answer|reply|respond|write|say|choose)\b[^.?!]{0,80}[.!]?\)?$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?]\s+\S")


def stands_alone(text: str) -> bool:
    """Whether a text is one question that is answered without an input (English).

    “Is a tomato a fruit?” is; “Is the comment friendly?” and “Is it a fruit?” are not.
    """
    asked = _FORM_OF_ANSWER.sub("", text)
    if not (_ASKS.match(asked) and _MARK.search(asked)) or _SENTENCE_END.search(asked):
        return False
    in_input = _CLASSIFIED.search(asked) or _DEFINITE.search(asked)
    return not in_input and names_its_subject(asked)


def is_question(text: str) -> bool:
    """Whether a text ends with a question mark, or starts as a question does (English)."""
    return bool(_MARK.search(text) or _ASKS.match(text))


def names_its_subject(text: str) -> bool:
    """Whether a text has a word that says what it is about, and none that points elsewhere.

    The words are English; in other languages every text passes.
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    if any(word in _POINTERS for word in words):
        return False
    return any(word not in _EMPTY for word in words)


def is_short_question(text: str) -> bool:
    """Whether a text is a question that says what it asks about, in words between spaces."""
    return not has_spaceless(text) and is_question(text) and names_its_subject(text)


def never(text: str) -> bool:  # noqa: ARG001
    """Versions 1 to 3 ask for an input of every classification task."""
    return False


STANDS_ALONE = Versioned(never, (4, stands_alone))
"""Whether a question is answered without an input, as the rules of a version see it."""
