"""The rules on tasks that were rewritten from others (styles `evolve` and `unnatural`).

Xu et al. 2023 (arXiv:2304.12244) drop a rewriting that gains nothing, and one that copies words of
the prompt for rewriting. Other runs have no rewritings, so these rules reject nothing there.
"""

from __future__ import annotations

import re

from selfinstruct.filters.copies import words_of
from selfinstruct.filters.rule import InstructionFacts, Of, Rule, When

_OF_PROMPT = re.compile(
    r"\b(?:re-?written|original|evolved|given|old)[ \t](?:task|prompt|instruction|wording)\b"
    r"|\b(?:new task|other wording|first wording|change):",
    re.IGNORECASE,
)


def is_unchanged(facts: InstructionFacts) -> bool:
    """Whether a rewriting has the same words as the task that it was made from."""
    own = words_of(facts.text)
    return any(words_of(parent) == own for parent in facts.rewritten)


def speaks_of_prompt(facts: InstructionFacts) -> bool:
    """Whether a rewriting speaks of the task or the change that its prompt showed.

    Words that its parent has, too, are the task's own.
    """
    if not facts.rewritten:
        return False
    known = {
        match.group().casefold() for one in facts.rewritten for match in _OF_PROMPT.finditer(one)
    }
    return any(match.group().casefold() not in known for match in _OF_PROMPT.finditer(facts.text))


UNCHANGED = Rule(
    name="unchanged",
    of=Of.INSTRUCTION,
    when=When.TEXT,
    section="rules",
    reason="unchanged",
    help="a rewriting that has the same words as the task that it was made from",
    breaks=lambda facts, _: is_unchanged(facts),
    details="case and punctuation are ignored",
    since=6,
)
SPEAKS_OF_PROMPT = Rule(
    name="speaks_of_prompt",
    of=Of.INSTRUCTION,
    when=When.TEXT,
    section="rules",
    reason="prompt_echo",
    breaks=lambda facts, _: speaks_of_prompt(facts),
    details="a rewriting that speaks of the “given task” or the “rewritten task”",
    since=6,
)
