"""Each rule by itself, for one candidate: its measure, its limit, and whether it passed.

A verdict names only the first rule that failed. Here each rule is checked alone, to show by how
much it failed, and whether others would have failed too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfinstruct.common.records import NAN, Kind, Markers
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.changes import COPIES_PROMPT, HOLDS_KNOWN
from selfinstruct.filters.outcomes import PARSE_FAILURE
from selfinstruct.filters.rewriting import UNCHANGED
from selfinstruct.filters.rule import InstanceFacts, InstructionFacts, Of, Rule, When
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.filters.score_rules import NOT_NOVEL, UNSCORABLE

# A row shows only by this reason that its completion hit its limit, so it is checked first.
_TRUNCATED = "truncated"
# What these compare with is not in a row either.
_OF_OTHERS = (COPIES_PROMPT.reason, UNCHANGED.reason, HOLDS_KNOWN.reason)


@dataclass(frozen=True, slots=True)
class RuleLine:
    """The result of one rule.

    `bound` says on which side of `threshold` the score must lie, if there are both. `held` is None
    for a rule that could not be checked: there was no score, or no threshold yet.
    """

    reason: str
    held: bool | None
    score: float | None = None
    bound: str | None = None
    threshold: float | None = None


def instruction_rules(
    row: Mapping[str, Any], config: RunConfig, prompt_lines: frozenset[str]
) -> list[RuleLine]:
    """Check an instruction by every rule that is on, in the order of the flow.

    Args:
        row: its columns.
        config: of its run.
        prompt_lines: the proposal template's own lines (`PromptLibrary.own_lines`).
    """
    if row["reason"] == PARSE_FAILURE.reason:
        return [RuleLine(PARSE_FAILURE.reason, held=False)]
    facts = InstructionFacts(
        row["text"],
        row["reason"] == _TRUNCATED,
        prompt_lines,
        mean_logprob=_number(row["mean_logprob"]),
        logprob_threshold=_limit(row["logprob_threshold"]),
        rouge_l=_number(row["rouge_l"]),
        scorable=row["reason"] != UNSCORABLE.reason,
    )
    rules = rules_in_force(Of.INSTRUCTION, config.rules_version)
    lines = [
        replace(line, held=_held_then(line.reason, row["reason"], rules))
        if line.reason in _OF_OTHERS
        else line
        for line in _lines(rules, facts, config)
    ]
    # Without a token, nothing is near; with one, the score decides.
    left_out = UNSCORABLE.reason if facts.scorable else NOT_NOVEL.reason
    return [line for line in lines if line.reason != left_out]


def instance_rules(
    row: Mapping[str, Any], instruction: str, config: RunConfig, markers: Markers
) -> list[RuleLine]:
    """Check an instance by every rule that is on and needs no other instance.

    Args:
        row: its columns.
        instruction: text of its instruction.
        config: of its run.
        markers: the words of the templates.
    """
    if row["reason"] == PARSE_FAILURE.reason:
        return [RuleLine(PARSE_FAILURE.reason, held=False)]
    facts = InstanceFacts(
        instruction,
        row["input"],
        row["output"],
        row["reason"] == _TRUNCATED,
        markers,
        mean_logprob=_number(row["mean_logprob"]),
        logprob_threshold=_limit(row["logprob_threshold"]),
        kind=Kind(row["kind"]) if row["kind"] else Kind.OUTPUT,
    )
    rules = rules_in_force(Of.INSTANCE, config.rules_version)
    return _lines([rule for rule in rules if rule.when is not When.AMONG], facts, config)


def _lines(rules: Sequence[Rule], facts: Any, config: RunConfig) -> list[RuleLine]:
    lines = []
    for rule in rules:
        if not rule.is_checked or not rule.applies(facts):
            continue
        limits = getattr(config, rule.section)
        if not rule.is_on(limits):
            continue
        if rule.measure is None:
            lines.append(RuleLine(rule.reason, held=rule.failure(facts, limits) is None))
            continue
        score, limit, held = rule.measured(facts, limits)
        shown = None if math.isnan(score) else score
        lines.append(RuleLine(rule.reason, held, shown, str(rule.measure.bound), limit))
    return lines


def _held_then(asked: str, reason: str | None, rules: Sequence[Rule]) -> bool | None:
    """Return whether a rule held when the verdict was given; None if it was not asked then."""
    order = [rule.reason for rule in rules]
    if reason is None or reason not in order or order.index(reason) > order.index(asked):
        return True
    return False if reason == asked else None


def _number(value: float | None) -> float:
    return NAN if value is None else value


def _limit(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
