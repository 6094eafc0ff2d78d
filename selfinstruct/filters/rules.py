"""The list of rules, and what is derived from it: the rules of each version, reasons, their help.

To add a rule, add one record to one of the lists below (rule.py explains its fields), and a test.
Config sections, docs, audit and the order of checks follow from the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from selfinstruct.common.fields import Section
from selfinstruct.common.versions import newest
from selfinstruct.filters.changes import (
    CHANGED_INSTANCE_RULES,
    CHANGED_INSTRUCTION_RULES,
    COPIES_PROMPT,
    HOLDS_ANSWER,
    HOLDS_KNOWN,
)
from selfinstruct.filters.changes_4 import INSTANCE_CHANGES_4, INSTRUCTION_CHANGES_4
from selfinstruct.filters.changes_5 import COPIES_PROMPT_5
from selfinstruct.filters.changes_6 import TOO_MANY_INSTANCES, TOO_MANY_ITEMS
from selfinstruct.filters.instance_rules import INSTANCE_RULES
from selfinstruct.filters.instruction_rules import INSTRUCTION_RULES
from selfinstruct.filters.outcomes import (
    ENGINE_ERROR,
    INSTANCE_PARSE_FAILURE,
    LOW_AGREEMENT,
    NO_FINAL_ANSWER,
    NO_INSTANCES,
    NO_MATCH,
    OVER_TARGET,
    PARSE_FAILURE,
    PENDING_INSTANCES,
)
from selfinstruct.filters.phrase_rules import PHRASE_INSTANCE_RULES, PHRASE_INSTRUCTION_RULES
from selfinstruct.filters.revisions import REVISION_RULES
from selfinstruct.filters.rewriting import SPEAKS_OF_PROMPT, UNCHANGED
from selfinstruct.filters.rule import Of, Rule, When
from selfinstruct.filters.score_rules import INSTANCE_SCORE_RULES, INSTRUCTION_SCORE_RULES
from selfinstruct.filters.turns import CHAT_RULES, TURN_RULES

# In the order of the flow, instructions first. It must be complete before the first check.
RULES: list[Rule] = [
    PARSE_FAILURE,
    TOO_MANY_ITEMS,
    COPIES_PROMPT,
    COPIES_PROMPT_5,
    UNCHANGED,
    *INSTRUCTION_RULES,
    *CHANGED_INSTRUCTION_RULES,
    *INSTRUCTION_CHANGES_4,
    SPEAKS_OF_PROMPT,
    HOLDS_ANSWER,
    *PHRASE_INSTRUCTION_RULES,
    *INSTRUCTION_SCORE_RULES,
    HOLDS_KNOWN,
    ENGINE_ERROR,
    INSTANCE_PARSE_FAILURE,
    TOO_MANY_INSTANCES,
    *INSTANCE_RULES,
    *CHANGED_INSTANCE_RULES,
    *INSTANCE_CHANGES_4,
    *PHRASE_INSTANCE_RULES,
    *INSTANCE_SCORE_RULES,
    NO_FINAL_ANSWER,
    LOW_AGREEMENT,
    NO_MATCH,
    NO_INSTANCES,
    PENDING_INSTANCES,
    OVER_TARGET,
    *TURN_RULES,
    *CHAT_RULES,
    *REVISION_RULES,
]

# Reasons that no rule gives any more, and their meaning: rows of older runs still have them.
REMOVED_REASONS: dict[str, str] = {}


@cache
def rules_in_force(of: Of, version: int) -> tuple[Rule, ...]:
    """Return the rules that count for runs of a version, in the order of the flow."""
    own = [rule for rule in RULES if rule.of is of and rule.since <= version]
    counting = [
        newest([(rule.since, rule) for rule in own if rule.name == name], version)
        for name in dict.fromkeys(rule.name for rule in own)
    ]
    lasting = [rule for rule in counting if rule.until is None or version < rule.until]
    return tuple(sorted(lasting, key=lambda rule: rule.when))


def reasons() -> Mapping[str, str]:
    """Return every reason that a row may have, with its meaning, in the order of the flow."""
    meanings: dict[str, str] = {}
    for rule in RULES:
        meanings[rule.reason] = meanings.get(rule.reason) or rule.help
    return {**meanings, **REMOVED_REASONS}


@cache
def steps_of(reason: str) -> set[When]:
    """Return the steps at which a candidate can be rejected for a reason."""
    return {rule.when for rule in RULES if rule.reason == reason}


@cache
def passed_text_rules(reason: str | None) -> bool:
    """Whether a candidate with a reason had passed the rules on its text; None is accepted."""
    return reason is None or all(step >= When.LIKELIHOOD for step in steps_of(reason))


@cache
def fails_by_its_text(reason: str | None) -> bool:
    """Whether a reason means that an instance's own text is bad, with no limit recorded.

    Such an instance failed by itself, even if its instruction has the same reason.
    """
    return any(
        rule.reason == reason and rule.measure is None
        for rule in RULES
        if rule.of is Of.INSTANCE and rule.when < When.LIKELIHOOD
    )


def limits_of(section: str) -> list[type[Section]]:
    """Return the limits of all rules with keys in a section of the config, in order."""
    limits = (rule.limits for rule in RULES if rule.section == section)
    return [model for model in dict.fromkeys(limits) if model is not Section]
