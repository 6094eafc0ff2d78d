"""What the words of an instruction say of its answer: a label from a small fixed list, or text.

The rules are those of the run's prompts.yaml, since they belong to a language.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from selfinstruct.filters.similarity import composed

# The kind shows at the start and at the end; an endless instruction costs no endless search.
_MOST_CHARACTERS = 600
# What follows is what the task is about, and says nothing of its answer.
_CODE = "```"


@dataclass(frozen=True, slots=True)
class KindRule:
    """One kind of answer, and the patterns of which one must occur in the instruction."""

    is_label: bool
    patterns: tuple[re.Pattern[str], ...]


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of prompts.yaml.

    Raises:
        re.error: it is not a regular expression.
    """
    return re.compile(pattern, re.IGNORECASE)


def kind_by_words(instruction: str, rules: Sequence[KindRule]) -> bool | None:
    """Whether an instruction wants a label, by the first rule that matches; None if none does."""
    text = " ".join(composed(instruction).split(_CODE, maxsplit=1)[0].split())
    if len(text) > _MOST_CHARACTERS:
        half = _MOST_CHARACTERS // 2
        text = f"{text[:half]} {text[-half:]}"
    for rule in rules:
        if any(pattern.search(text) for pattern in rule.patterns):
            return rule.is_label
    return None
