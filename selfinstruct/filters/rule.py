"""A rule is one record; config, docs, audit and the order of checks are derived from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import create_model
from pydantic.fields import FieldInfo

from selfinstruct.common.fields import Section, semantic
from selfinstruct.common.records import NAN, Kind, Markers


class Of(StrEnum):
    """What a rule applies to."""

    INSTRUCTION = "instruction"
    INSTANCE = "instance"
    TURN = "turn"
    CHAT = "chat"


class When(IntEnum):
    """The step of the flow at which a rule is checked, in order."""

    READ = 0  # whether the completion can be parsed
    TEXT = 1  # on a text by itself
    AMONG = 2  # on an instance among the others of its instruction
    LIKELIHOOD = 3
    NOVELTY = 4
    LAST = 5  # once the instances have their verdicts


class Bound(StrEnum):
    """The side of its limit on which a score must lie."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a text fails, with the limit that it missed if there is one."""

    reason: str
    threshold: float | None = None


def _holds_nothing(_text: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class InstructionFacts:
    """The facts that a rule on instructions may use.

    truncated: the completion hit its token limit within this text.
    prompt_lines: the proposal template's own lines, casefolded.
    shown: the tasks that its prompt showed.
    rewritten: the tasks that it is a rewriting of.
    strays: it is about a worked passage of its prompt, and not about its own.
    is_rest: it is all that follows the last item of its completion that is read.
    held: gives the id of a pooled text that a text holds whole, or None.
    mean_logprob: nats per token; NaN if it could not be scored.
    logprob_threshold: least nats per token, if there is a threshold.
    rouge_l: F-measure with the nearest text of the pool; NaN if none is near.
    scorable: the text has a token that ROUGE-L can compare.
    """

    text: str
    truncated: bool = False
    prompt_lines: frozenset[str] = frozenset()
    mean_logprob: float = NAN
    logprob_threshold: float | None = None
    rouge_l: float = NAN
    scorable: bool = True
    kind: Kind = Kind.INSTRUCTION
    shown: tuple[str, ...] = ()
    held: Callable[[str], str | None] = _holds_nothing
    strays: bool = False
    is_rest: bool = False
    rewritten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """The facts that a rule on instances may use.

    outputs: all outputs for the same input, of instances that pass by themselves.
    is_repeat: an earlier instance has the same input and output.
    place: its number among the instances that are kept, from 1.
    place_of_output: its number among those of them that have the same output, from 1.
    kind: whether the output is a text or a label.
    is_rest: it is all that follows the last instance of its completion that is read.
    """

    instruction: str
    input: str
    output: str
    truncated: bool = False
    markers: Markers = field(default_factory=Markers)
    outputs: frozenset[str] = frozenset()
    is_repeat: bool = False
    place: int = 1
    place_of_output: int = 1
    mean_logprob: float = NAN
    logprob_threshold: float | None = None
    kind: Kind = Kind.OUTPUT
    is_rest: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A score that must lie on one side of a limit.

    score: of (facts, limits).
    limit: of (facts, limits); None if there is no limit.
    without_score: whether a text without a score passes; None if that is unknown.
    """

    score: Callable[[Any, Any], float]
    bound: Bound
    limit: Callable[[Any, Any], float | None]
    without_score: bool | None = None


def _always(_facts: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Facts are `InstructionFacts`, `InstanceFacts` or `TurnFacts` (turns.py); limits is the section
    of the config that has the rule's keys.

    name: of the rule; unique among the rules of one version and one `of`.
    of: what it applies to.
    when: the step of the flow at which it is checked.
    reason: the reason of a candidate that breaks it.
    help: what the reason means; empty if an earlier rule with the same reason explains it.
    breaks: whether (facts, limits) break it; None for a rule with a `measure`.
    measure: the score that decides, if one does.
    limits: its keys in the config, with their defaults; None, False or () switch it off.
    section: the section of the config that has the keys.
    can_be_off: False for a rule that is always checked, whatever its limits are.
    applies: whether the rule applies to the facts.
    details: text for the docs beyond `help`.
    since: the first version of the rules (versions.py) with this rule. To change a rule, add a
        second record of its name with a later `since`, beside the old one.
    until: the first version without it; it still counts for older runs.
    """

    name: str
    of: Of
    when: When
    reason: str
    help: str = ""
    breaks: Callable[[Any, Any], bool] | None = None
    measure: Measure | None = None
    limits: type[Section] = Section
    section: str = ""
    can_be_off: bool = True
    applies: Callable[[Any], bool] = _always
    details: str = ""
    since: int = 1
    until: int | None = None

    @property
    def is_checked(self) -> bool:
        """Whether it checks a candidate; other reasons are outcomes of a whole round."""
        return self.breaks is not None or self.measure is not None

    def is_on(self, limits: Any) -> bool:
        """Whether the config switches it on."""
        switches = _switches(self.limits)
        if not self.can_be_off or not switches:
            return True
        return any(getattr(limits, name) != off for name, off in switches.items())

    def failure(self, facts: Any, limits: Any) -> Failure | None:
        """Return why a candidate breaks the rule, or None."""
        if self.measure is not None:
            _, threshold, held = self.measured(facts, limits)
            return Failure(self.reason, threshold) if held is False else None
        broken = self.breaks is not None and self.breaks(facts, limits)
        return Failure(self.reason) if broken else None

    def measured(self, facts: Any, limits: Any) -> tuple[float, float | None, bool | None]:
        """Return (score, limit, whether the score passes); None if that is unknown."""
        assert self.measure is not None
        score, limit = self.measure.score(facts, limits), self.measure.limit(facts, limits)
        if math.isnan(score):
            return score, limit, self.measure.without_score
        if limit is None:
            return score, limit, None
        at_least = self.measure.bound is Bound.AT_LEAST
        return score, limit, score >= limit if at_least else score <= limit


def keys(**fields: Any) -> type[Section]:
    """Return the limits of a rule: its keys in the config, each as (type, field)."""
    return create_model("Limits", __base__=Section, **fields)


def switch(name: str, description: str, **more: Any) -> type[Section]:
    """Return the limits of a rule that is on or off; `more` goes to the key's field."""
    return keys(**{name: (bool, semantic(True, description, **more))})


Checks = tuple[tuple[Rule, Any], ...]
"""Rules that a config switches on, each with its limits, in order."""


def checks_of(rules: Iterable[Rule], config: Any) -> Checks:
    """Return those of some rules that check a candidate by a config; outcomes are left out."""
    pairs = ((rule, getattr(config, rule.section)) for rule in rules if rule.is_checked)
    return tuple((rule, limits) for rule, limits in pairs if rule.is_on(limits))


def first_failed(checks: Checks, facts: Any) -> Failure | None:
    """Return the first failure of a candidate, as `first_failure` does."""
    for rule, limits in checks:
        # A candidate meets some 35 rules, so that calls which need not be made count.
        if rule.applies is not _always and not rule.applies(facts):
            continue
        if rule.breaks is not None and rule.measure is None:
            if rule.breaks(facts, limits):
                return Failure(rule.reason)
            continue
        failure = rule.failure(facts, limits)
        if failure is not None:
            return failure
    return None


def first_failure(rules: Iterable[Rule], facts: Any, config: Any) -> Failure | None:
    """Return the first failure of a candidate, in the order of the rules, or None.

    Args:
        rules: the rules to check; outcomes among them are skipped.
        facts: of the candidate.
        config: has a section for each rule.
    """
    for rule in rules:
        if not rule.is_checked:
            continue
        limits = getattr(config, rule.section)
        if rule.applies(facts) and rule.is_on(limits):
            failure = rule.failure(facts, limits)
            if failure is not None:
                return failure
    return None


@cache
def _switches(limits: type[Section]) -> dict[str, Any]:
    """Return the keys that switch a rule off, each with the value that does so."""
    return {
        name: off_value(info) for name, info in limits.model_fields.items() if has_off_value(info)
    }


def has_off_value(info: FieldInfo) -> bool:
    """Whether a key has a value that switches the key's rule off."""
    annotation = info.annotation
    return annotation is bool or get_origin(annotation) is tuple or NoneType in get_args(annotation)


def off_value(info: FieldInfo) -> bool | tuple[()] | None:
    """Return the value of a key that switches its rule off: False, () or None."""
    if info.annotation is bool:
        return False
    return () if get_origin(info.annotation) is tuple else None
