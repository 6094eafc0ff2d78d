"""Rules on the turns of a self-chat, beside those on instructions and instances.

A turn of the user is checked like an instruction, a reply like an output: `USER_RULES` and
`NOT_OF_REPLIES` say by which rules. The rules here are about what only a conversation has: an end,
and turns before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import regex

from selfinstruct.common.records import NAN
from selfinstruct.filters.copies import copies_shown
from selfinstruct.filters.novelty.tokens import CHOOSE_TOKENIZER, TOKENS
from selfinstruct.filters.phrases import holds_phrase, starts_with_phrase
from selfinstruct.filters.rule import Bound, Measure, Of, Rule, When

# The rules on instructions that a turn of the user must pass. It may be short and begin anyhow.
USER_RULES = frozenset(
    [
        *("truncated", "max_words", "keywords", "script", "prompt_echo", "placeholder", "refusal"),
        *("not_a_task", "chatty_preamble", "max_repetition", "holds_answer"),
        *("unsuitable_phrases", "refusal_phrases", "opening_phrases"),
    ]
)
# The rules on instances that mean nothing for a reply: what it works on stands in earlier turns.
NOT_OF_REPLIES = frozenset({"missing_input", "input_phrases", "output_equals_input"})

# Shorter runs of words are shared by chance.
_RUN = 8
_MOST_WORDS_OF_AN_END = 15
_SENTENCE_END = regex.compile(r"[.!?。！？]+\s*")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class TurnFacts:
    """The facts that a rule on turns may use.

    done: the user has nothing more to ask.
    answers: a turn of the user is an answer.
    shown: turns of the examples in the prompt, and sentences of it.
    strays: it is about what the examples are about, and no earlier turn is.
    shared: the largest share of the text that an earlier turn has too.
    most_shared: the largest that may be.
    """

    text: str
    done: bool = False
    answers: bool = False
    shown: Sequence[str] = ()
    strays: bool = False
    shared: float = NAN
    most_shared: float = 1.0


def says_done(text: str, ends: Sequence[str], polite: Sequence[str]) -> bool:
    """Whether a turn of the user only thanks or takes leave.

    Args:
        text: of the turn.
        ends: phrases by which such a turn starts.
        polite: phrases by which its further sentences may start.
    """
    if "?" in text or "？" in text or len(text.split()) > _MOST_WORDS_OF_AN_END:  # noqa: RUF001
        return False
    first, *others = [part for part in _SENTENCE_END.split(text) if part.strip()] or [""]
    if not starts_with_phrase(first, ends):
        return False
    return all(starts_with_phrase(other, [*ends, *polite]) for other in others)


def is_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether a turn of the user is an answer: the model has mixed up who speaks.

    Args:
        text: of the turn.
        answers: phrases by which an answer starts.
    """
    asks = "?" in text or "？" in text  # noqa: RUF001
    return not asks and starts_with_phrase(text, answers)


def is_about_example(text: str, earlier: Sequence[str], subjects: Sequence[str]) -> bool:
    """Whether a turn is about an example of the prompt instead of its own conversation.

    Args:
        text: of the turn.
        earlier: texts of the turns before it.
        subjects: words that the examples are about.
    """
    strange = [subject for subject in subjects if holds_phrase(text, [subject])]
    said = "\n".join(earlier)
    return any(not holds_phrase(said, [subject]) for subject in strange)


def shared_share(text: str, earlier: str, version: int, *, by_rouge: bool = True) -> float:
    """Return the share of a text that an earlier turn has too, in [0, 1].

    It is the larger of two measures: the ROUGE-L F-measure 2·LCS/(m+n) of the tokens, and the share
    of the text's runs of 8 tokens that the earlier turn holds. The first finds a turn that is said
    again in other order or length, the second one that is copied into a longer text.

    Args:
        text: of the turn.
        earlier: text of the earlier turn.
        version: of the rules; it decides how texts are split into tokens.
        by_rouge: whether the first measure counts. It does not between the two speakers, since an
            answer may well take up the words of its question.
    """
    from rapidfuzz.distance import LCSseq

    own, other = _tokens(text, version), _tokens(earlier, version)
    if not own or not other:
        return float(text.strip() == earlier.strip())
    rouge = 2 * LCSseq.similarity(own, other) / (len(own) + len(other)) if by_rouge else 0.0
    runs = _runs(own)
    held = runs & _runs(other)
    copied = len(held) / len(runs) if runs else 0.0
    return float(max(rouge, copied))


def _tokens(text: str, version: int) -> list[str]:
    return TOKENS.at(version)(text, CHOOSE_TOKENIZER.at(version)(text, "auto"))


def _runs(words: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[place : place + _RUN]) for place in range(len(words) - _RUN + 1)}


_turn = partial(Rule, of=Of.TURN, when=When.TEXT)
EMPTY_TURN = _turn(
    name="empty_turn",
    reason="empty_turn",
    help="the turn of a conversation has no text",
    breaks=lambda facts, _: not facts.text.strip(),
    section="instances",
)
USER_DONE = _turn(
    name="user_done",
    reason="user_done",
    help="the user has nothing more to ask; the conversation ends before this turn",
    breaks=lambda facts, _: facts.done,
    section="instances",
    details="the user only says thanks or goodbye",
)
WRONG_SPEAKER = _turn(
    name="wrong_speaker",
    reason="wrong_speaker",
    help="the user's turn reads like an answer of the assistant",
    breaks=lambda facts, _: facts.answers,
    section="instances",
    details="it starts as one (“Sure”, “Here are”), and asks no question",
)
COPIES_EXAMPLE = _turn(
    name="copies_example",
    reason="copies_example",
    help="the turn copies an example of the prompt, or has the topic of the examples",
    breaks=lambda facts, _: facts.strays or copies_shown(facts.text, facts.shown),
    section="instances",
    details="the turn equals or contains a turn or a sentence of the prompt; or it has a topic "
    "word of the examples, and no earlier turn of the conversation has that word",
)
REPEATS_TURN = _turn(
    name="repeats_turn",
    reason="repeats_turn",
    help="the turn repeats an earlier turn of the conversation",
    measure=Measure(
        lambda facts, _: facts.shared, Bound.AT_MOST, lambda facts, _: facts.most_shared
    ),
    section="instances",
    details="its overlap with an earlier turn is above `converse.max_shared`. Overlap is the "
    "larger of two values: the ROUGE-L with a turn of the same speaker, and the share of its "
    "8-word sequences that also occur in an earlier turn",
)
_outcome = partial(Rule, when=When.LAST)
UNANSWERED = _outcome(
    name="unanswered",
    of=Of.TURN,
    reason="unanswered",
    help="a good turn of the user, but the reply to it was rejected",
)
AFTER_END = _outcome(
    name="after_end",
    of=Of.TURN,
    reason="after_end",
    help="an earlier turn of the conversation was rejected",
    details="if the rules on text reject a turn, the conversation ends at once. Likelihood is "
    "checked only after all turns are written, so turns may follow one that is then rejected. "
    "These turns are left out too",
)
SHORT_CHAT = _outcome(
    name="short_chat",
    of=Of.CHAT,
    reason="short_chat",
    help="fewer than two exchanges of the conversation are left",
)
OPENING_REJECTED = _outcome(
    name="opening_rejected",
    of=Of.CHAT,
    reason="opening_rejected",
    help="the task that opens the conversation is no longer accepted",
    details="in a run that was judged again (`merge`, `audit whatif --out`)",
)
TURN_RULES = [
    EMPTY_TURN,
    USER_DONE,
    WRONG_SPEAKER,
    COPIES_EXAMPLE,
    REPEATS_TURN,
    UNANSWERED,
    AFTER_END,
]
CHAT_RULES = [SHORT_CHAT, OPENING_REJECTED]
