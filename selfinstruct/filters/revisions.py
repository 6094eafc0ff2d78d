"""Rules on revisions, beside those on instances: what only a rewritten answer can do wrong.

A revision is checked by the run's rules on outputs, too. `NOT_OF_REVISIONS` names those that are
left out: to decline is what some principles ask for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from selfinstruct.filters.copies import copies_shown, words_of
from selfinstruct.filters.rule import Of, Rule, When

NOT_OF_REVISIONS = frozenset({"refusal", "refusal_phrases"})

# What is said of an answer, and is none itself. "The answer is 42" is one.
_ANSWER = r"(?:answer|response|reply|draft|revision|critique)"
_COMMENT = re.compile(
    r"\W{0,9}(?:"
    r"(?:here is )?(?:the|this|my|your|that) (?:new|revised|rewritten|original|previous|first|"
    rf"above) {_ANSWER}\b"
    rf"|(?:the|this|my|your) {_ANSWER} (?:does|did|could|should|would|can|has|had|provides?|"
    r"follows?|lacks?|contains?|includes?|violates?|meets?|needs?|seems?|appears?)\b"
    rf"|(?:the|this|my|your) {_ANSWER} (?:is|was) (?:already|also|too|not|clear|good|correct|"
    r"accurate|helpful|honest|harmless|harmful|appropriate|inappropriate|consistent|fine|"
    r"incomplete|biased|misleading|vague|well|in line)\b"
    r"|(?:the|this) principle\b"
    r"|no (?:changes?|revisions?|rewriting) (?:is|are|was|were)?\b"
    r"|i(?: have|['’]ve| would| will)? (?:revised?|rewritten|rewrote|rewrite)\b"
    r"|(?:critique|revision request|principle) ?:"
    r")",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """The facts that a rule on revisions may use.

    draft: the text that is revised.
    critique: of the model.
    task: the instruction, and the input.
    asked: the sentences of the principle, and of what is asked.
    """

    text: str
    draft: str
    critique: str
    task: str = ""
    asked: Sequence[str] = ()


def is_unchanged(text: str, draft: str) -> bool:
    """Whether two texts have the same words: case and punctuation do not count."""
    own = words_of(text)
    return own == words_of(draft) and (bool(own) or text.split() == draft.split())


def is_comment(text: str, task: str) -> bool:
    """Whether a text begins as one about an answer, where the task does not speak of one."""
    begins = _COMMENT.match(text)
    return begins is not None and not _COMMENT.match(task)


_rule = partial(Rule, of=Of.REVISION, when=When.TEXT, section="instances")
NO_CRITIQUE = _rule(
    name="no_critique",
    reason="no_critique",
    help="the model wrote no critique, so nothing was rewritten",
    breaks=lambda facts, _: not facts.critique.strip(),
)
NO_REVISION = _rule(
    name="no_revision",
    reason="no_revision",
    help="the completion contains no revision",
    breaks=lambda facts, _: not facts.text.strip(),
)
UNCHANGED = _rule(
    name="unchanged",
    reason="unchanged",
    help="the revision has the same words as the text that it revises",
    breaks=lambda facts, _: is_unchanged(facts.text, facts.draft),
    details="this can be right: a good answer needs no change",
)
COPIES_CRITIQUE = _rule(
    name="copies_critique",
    reason="copies_critique",
    help="the revision contains its critique, or a sentence of the request",
    breaks=lambda facts, _: copies_shown(facts.text, (facts.critique, *facts.asked)),
    details="the sentences of the principle count too",
)
ABOUT_ANSWER = _rule(
    name="about_answer",
    reason="about_answer",
    help="the revision speaks about the answer instead of being one (English)",
    breaks=lambda facts, _: is_comment(facts.text, facts.task),
    details="it starts with words such as “The answer” or “I have revised”",
)
REVISION_RULES = [NO_CRITIQUE, NO_REVISION, UNCHANGED, COPIES_CRITIQUE, ABOUT_ANSWER]
