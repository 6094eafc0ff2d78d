"""Rules on an instance by itself, and among the others of its instruction (the paper, §3.4).

Their switches are in `instances`. They are checked in the order of the list at the end. If one
input has different outputs, at least one is wrong, so all of them are rejected (the paper). Of
repeats, the first is kept.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from selfinstruct.common.fields import Section, semantic
from selfinstruct.common.records import Markers, ParsedInstance
from selfinstruct.common.scan import has_any
from selfinstruct.filters import text as texts
from selfinstruct.filters.points import points_to_input
from selfinstruct.filters.rule import (
    Bound,
    Checks,
    Failure,
    InstanceFacts,
    Measure,
    Of,
    Rule,
    When,
    checks_of,
    first_failed,
    keys,
    switch,
)

_WORD = re.compile(r"\w+")


def check_instances(
    rules: Sequence[Rule],
    instruction: str,
    parsed: Sequence[ParsedInstance],
    config: Any,
    markers: Markers,
    same: Callable[[str], str] = str,
) -> list[Failure | None]:
    """Return for each instance of an instruction the first rule that it breaks, or None.

    Args:
        rules: rules on instances, in order.
        instruction: text of their instruction.
        parsed: the instances, in order.
        config: has the section of each rule.
        markers: the words of the templates.
        same: what two inputs, or two outputs, must have in common to count as the same.
    """
    return instance_failures(InstanceChecks.of(rules, config), instruction, parsed, markers, same)


@dataclass(frozen=True, slots=True)
class InstanceChecks:
    """Checks on the text of an instance by itself, and among the others of its instruction."""

    by_itself: Checks
    among: Checks

    @classmethod
    def of(cls, rules: Sequence[Rule], config: Any) -> InstanceChecks:
        """Return those of some rules that a config switches on."""
        return cls(
            checks_of([rule for rule in rules if rule.when is When.TEXT], config),
            checks_of([rule for rule in rules if rule.when is When.AMONG], config),
        )


def instance_failures(
    checks: InstanceChecks,
    instruction: str,
    parsed: Sequence[ParsedInstance],
    markers: Markers,
    same: Callable[[str], str] = str,
) -> list[Failure | None]:
    """Return what `check_instances` returns, by checks that were chosen before."""
    alone = []
    for instance in parsed:
        facts = InstanceFacts(
            instruction,
            instance.input,
            instance.output,
            instance.truncated,
            markers,
            is_rest=instance.is_rest,
        )
        alone.append(first_failed(checks.by_itself, facts))
    outputs: dict[str, set[str]] = {}
    for instance, failure in zip(parsed, alone, strict=True):
        if failure is None:
            outputs.setdefault(same(instance.input), set()).add(same(instance.output))
    failures: list[Failure | None] = []
    seen: set[tuple[str, str]] = set()
    kept_with: Counter[str] = Counter()  # by output
    for instance, own in zip(parsed, alone, strict=True):
        if own is not None:
            failures.append(own)
            continue
        pair = (same(instance.input), same(instance.output))
        others = InstanceFacts(
            instruction,
            instance.input,
            instance.output,
            outputs=frozenset(outputs.get(pair[0], ())),
            is_repeat=pair in seen,
            place=len(seen) + 1,
            place_of_output=kept_with[pair[1]] + 1,
        )
        failure = first_failed(checks.among, others)
        if failure is None and pair not in seen:
            seen.add(pair)
            kept_with[pair[1]] += 1
        failures.append(failure)
    return failures


def _is_empty(facts: InstanceFacts, _: Section) -> bool:
    return texts.is_blank(facts.output)


def _is_truncated(facts: InstanceFacts, _: Any) -> bool:
    return facts.truncated or texts.ends_unfinished(facts.output)


def _ends_with_colon(facts: InstanceFacts, _: Any) -> bool:
    return facts.input.endswith(":") or facts.output.endswith(":")


def _is_copy(facts: InstanceFacts, _: Any) -> bool:
    return bool(facts.input) and facts.input == facts.output


def _lacks_input(facts: InstanceFacts, _: Any) -> bool:
    return not facts.input and points_to_input(facts.instruction)


def _echoes(facts: InstanceFacts, _: Any) -> bool:
    markers = facts.markers
    marks = ("###", "Task:", markers.input, markers.output, markers.label)
    # Only at the start of a line: "# Output: 5" is a comment in code.
    starts = re.compile(r"^[^\S\n]*(?:" + "|".join(map(re.escape, marks)) + ")", re.MULTILINE)
    if any(has_any(text, marks) and starts.search(text) for text in (facts.input, facts.output)):
        return True
    own = _WORD.findall(facts.instruction.casefold())
    if not own:
        return False
    folded = " ".join(own)
    first = islice(_WORD.finditer(facts.output.casefold()), len(own))
    if " ".join(word.group() for word in first).startswith(folded):
        return True
    given = facts.input.casefold()
    return all(word in given for word in own) and folded in " ".join(_WORD.findall(given))


def _has_placeholder(facts: InstanceFacts, _: Any) -> bool:
    return texts.has_placeholder(facts.input) or texts.has_placeholder(facts.output)


def _is_refusal(facts: InstanceFacts, _: Any) -> bool:
    return texts.is_refusal(facts.output) or texts.is_refusal(facts.input)


def _is_chatty(facts: InstanceFacts, _: Any) -> bool:
    return texts.is_chatty(facts.output)


def _repetition(facts: InstanceFacts, _: Any) -> float:
    return max(texts.repetition(facts.input), texts.repetition(facts.output))


_rule = partial(Rule, of=Of.INSTANCE, when=When.TEXT, section="instances")
EMPTY_OUTPUT = _rule(
    name="empty_output", reason="empty_output", help="the instance has no output", breaks=_is_empty
)
INSTANCE_RULES = [
    EMPTY_OUTPUT,
    _rule(
        name="truncated",
        reason="truncated",
        limits=switch("truncated", "rule: cut off by the token limit or within a sentence"),
        breaks=_is_truncated,
        details="cut off by the token limit, or prose of several sentences whose last sentence is "
        "unfinished",
    ),
    _rule(
        name="ends_with_colon",
        reason="ends_with_colon",
        help="input or output ends with a colon, and nothing follows it",
        limits=switch("ends_with_colon", "rule: input or output ends with a colon"),
        breaks=_ends_with_colon,
    ),
    _rule(
        name="output_equals_input",
        reason="output_equals_input",
        help="the output repeats the input",
        limits=switch("output_equals_input", "rule: the output repeats the input"),
        breaks=_is_copy,
    ),
    _rule(
        name="missing_input",
        reason="missing_input",
        help="the instruction refers to an input, and the instance has none",
        limits=switch("missing_input", "rule: refers to an input but has none (English)"),
        breaks=_lacks_input,
        details="such as “the sentence below”",
    ),
    _rule(
        name="prompt_echo",
        reason="prompt_echo",
        limits=switch(
            "prompt_echo", "rule: contains markers of the prompt, or repeats the instruction"
        ),
        breaks=_echoes,
        details="markers at the start of a line, or the instruction instead of an answer",
    ),
    _rule(
        name="placeholder",
        reason="placeholder",
        limits=switch("placeholder", "rule: placeholder text"),
        breaks=_has_placeholder,
    ),
    _rule(
        name="refusal",
        reason="refusal",
        limits=switch("refusal", "rule: refusals (English)"),
        breaks=_is_refusal,
    ),
    _rule(
        name="chatty_preamble",
        reason="chatty_preamble",
        limits=switch("chatty_preamble", "rule: chatty openings (English)"),
        breaks=_is_chatty,
    ),
    _rule(
        name="max_repetition",
        limits=keys(
            max_repetition=(
                float | None,
                semantic(
                    0.2,
                    "rule: largest share of the words that may lie in repeated word sequences; "
                    "null: off",
                    ge=0,
                    le=1,
                ),
            )
        ),
        reason="repetitive",
        measure=Measure(_repetition, Bound.AT_MOST, lambda _, limits: limits.max_repetition),
    ),
    _rule(
        name="conflicting_outputs",
        reason="conflicting_outputs",
        help="the same input as another instance of the task, but another output",
        limits=switch("conflicting_outputs", "rule: the same input has different outputs"),
        when=When.AMONG,
        breaks=lambda facts, _: len(facts.outputs) > 1,
        details="all of them are rejected",
    ),
    _rule(
        name="duplicate_instance",
        reason="duplicate_instance",
        help="the same input and output as an earlier instance of the task",
        when=When.AMONG,
        breaks=lambda facts, _: facts.is_repeat,
    ),
    _rule(
        name="max_per_instruction",
        help="more instances than `instances.max_per_instruction`, or more instances with the same "
        "output than `instances.max_per_output`",
        limits=keys(
            max_per_instruction=(
                int,
                semantic(4, "maximum instances kept per instruction", ge=1),
            )
        ),
        when=When.AMONG,
        reason="surplus_instance",
        measure=Measure(
            lambda facts, _: facts.place,
            Bound.AT_MOST,
            lambda _, limits: limits.max_per_instruction,
        ),
    ),
    _rule(
        name="max_per_output",
        limits=keys(
            max_per_output=(
                int | None,
                semantic(
                    1,
                    "maximum instances per instruction with the same output (balances labels); "
                    "null: off",
                    ge=1,
                ),
            )
        ),
        when=When.AMONG,
        reason="surplus_instance",
        measure=Measure(
            lambda facts, _: facts.place_of_output,
            Bound.AT_MOST,
            lambda _, limits: limits.max_per_output,
        ),
        details="each label of a classification task is kept once (the paper, §2.2: otherwise a "
        "model writes mostly inputs of one label)",
        since=3,
    ),
]
