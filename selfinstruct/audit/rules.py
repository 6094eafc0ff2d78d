"""Every rule on its own, for one candidate: what it measured, its limit, and whether it held.

A verdict names the first rule that failed. To see by how much, and whether others would have
failed too, each rule is asked alone here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.config import InstancesConfig, RulesConfig, RunConfig
from selfinstruct.filters import text as texts
from selfinstruct.filters.heuristics import check_instruction
from selfinstruct.filters.instances import check_instance
from selfinstruct.records import (
    Kind,
    Markers,
    ParsedInstance,
    ParsedInstruction,
    Reason,
)

AT_LEAST, AT_MOST = "≥", "≤"


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule and what it found.

    `bound` says on which side of `threshold` the score has to lie, where there are such. `held` is
    None for a rule that could not be asked: nothing was scored, or no threshold was known yet.
    """

    reason: Reason
    held: bool | None
    score: float | None = None
    bound: str | None = None
    threshold: float | None = None


_RULES_OFF: dict[str, Any] = {
    "min_words": None,
    "max_words": None,
    "keywords": (),
    "forbidden_starts": (),
    "punctuation_start": False,
    "script": None,
    "prompt_echo": False,
    "placeholder": False,
    "refusal": False,
    "chatty_preamble": False,
    "not_a_task": False,
    "truncated": False,
    "max_repetition": None,
}
# Fields of RulesConfig in the order in which they are asked, and the reason that each gives.
_RULES: dict[tuple[str, ...], Reason] = {
    ("truncated",): Reason.TRUNCATED,
    ("min_words",): Reason.TOO_SHORT,
    ("max_words",): Reason.TOO_LONG,
    ("keywords", "forbidden_starts"): Reason.UNSUITABLE_KEYWORD,
    ("punctuation_start",): Reason.PUNCTUATION_START,
    ("script",): Reason.WRONG_SCRIPT,
    ("prompt_echo",): Reason.PROMPT_ECHO,
    ("placeholder",): Reason.PLACEHOLDER,
    ("refusal",): Reason.REFUSAL,
    ("not_a_task",): Reason.NOT_A_TASK,
    ("chatty_preamble",): Reason.CHATTY_PREAMBLE,
    ("max_repetition",): Reason.REPETITIVE,
}
_INSTANCE_RULES = {
    "truncated": Reason.TRUNCATED,
    "ends_with_colon": Reason.ENDS_WITH_COLON,
    "output_equals_input": Reason.OUTPUT_EQUALS_INPUT,
    "missing_input": Reason.MISSING_INPUT,
    "prompt_echo": Reason.PROMPT_ECHO,
    "placeholder": Reason.PLACEHOLDER,
    "refusal": Reason.REFUSAL,
    "chatty_preamble": Reason.CHATTY_PREAMBLE,
    "max_repetition": Reason.REPETITIVE,
}


def instruction_rules(
    row: Mapping[str, Any], config: RunConfig, prompt_lines: frozenset[str]
) -> list[RuleLine]:
    """Ask every rule that is on about an instruction, in the order of the flow.

    Args:
        row: its columns.
        config: of its run.
        prompt_lines: the proposal template's own lines (`PromptLibrary.own_lines`).
    """
    if row["reason"] == Reason.PARSE_FAILURE:
        return [RuleLine(Reason.PARSE_FAILURE, held=False)]
    text: str = row["text"]
    # Asked first, so that whatever was cut off has this reason.
    truncated = row["reason"] == Reason.TRUNCATED
    span = (row["char_start"], row["char_end"])
    parsed = ParsedInstruction(*span, row["raw_text"], text, truncated)
    measured: Mapping[Reason, tuple[Callable[[], float], str, float | None]] = {
        Reason.TOO_SHORT: (lambda: texts.word_count(text), AT_LEAST, config.rules.min_words),
        Reason.TOO_LONG: (lambda: texts.word_count(text), AT_MOST, config.rules.max_words),
        Reason.WRONG_SCRIPT: (
            lambda: texts.script_share(text, config.rules.script or ""),
            AT_LEAST,
            0.9,
        ),
        Reason.REPETITIVE: (
            lambda: texts.repetition(text),
            AT_MOST,
            config.rules.max_repetition,
        ),
    }
    lines = []
    for names, reason in _RULES.items():
        values = {name: getattr(config.rules, name) for name in names}
        if all(values[name] == _RULES_OFF[name] for name in names):
            continue
        alone = RulesConfig.model_validate({**_RULES_OFF, **values})
        held = check_instruction(parsed, alone, prompt_lines) is None
        score, bound, threshold = measured.get(reason, (None, None, None))
        lines.append(RuleLine(reason, held, score() if score else None, bound, threshold))
    lines += _likelihood(row, Kind.INSTRUCTION, config)
    lines.append(_novelty(row, config))
    return lines


def instance_rules(
    row: Mapping[str, Any], instruction: str, config: RunConfig, markers: Markers
) -> list[RuleLine]:
    """Ask every rule that is on and concerns one instance by itself.

    Args:
        row: its columns.
        instruction: text of its instruction.
        config: of its run.
        markers: the words of the templates.
    """
    if row["reason"] == Reason.PARSE_FAILURE:
        return [RuleLine(Reason.PARSE_FAILURE, held=False)]
    given, output = row["input"], row["output"]
    truncated = row["reason"] == Reason.TRUNCATED
    parsed = ParsedInstance(given, output, (0, 0), (0, 0), truncated)
    off = {name: None if name == "max_repetition" else False for name in _INSTANCE_RULES}
    lines = [RuleLine(Reason.EMPTY_OUTPUT, held=not texts.is_blank(output))]
    for name, reason in _INSTANCE_RULES.items():
        value = getattr(config.instances, name)
        if value == off[name] or value is False:
            continue
        alone = InstancesConfig.model_validate({**off, name: value})
        failure = check_instance(instruction, parsed, alone, markers)
        held = failure is None or failure.reason is Reason.EMPTY_OUTPUT
        if reason is Reason.REPETITIVE:
            share = max(texts.repetition(given), texts.repetition(output))
            lines.append(RuleLine(reason, held, share, AT_MOST, value))
        else:
            lines.append(RuleLine(reason, held))
    kind = Kind(row["kind"]) if row["kind"] else Kind.OUTPUT
    return lines + _likelihood(row, kind, config)


def _likelihood(row: Mapping[str, Any], kind: Kind, config: RunConfig) -> list[RuleLine]:
    score, least = _number(row["mean_logprob"]), _number(row["logprob_threshold"])
    held = None if score is None or least is None else score >= least
    lines = [RuleLine(Reason.LOW_LIKELIHOOD, held, score, AT_LEAST, least)]
    most = config.likelihood.max_logprob
    if most is not None and kind is not Kind.LABEL:
        held = None if score is None else score <= most
        lines.append(RuleLine(Reason.TOO_LIKELY, held, score, AT_MOST, most))
    return lines


def _novelty(row: Mapping[str, Any], config: RunConfig) -> RuleLine:
    """What has no neighbour above the audit floor has no score, and is novel."""
    limit, score = config.novelty.threshold, _number(row["rouge_l"])
    if row["reason"] == Reason.UNSCORABLE:
        return RuleLine(Reason.UNSCORABLE, held=False)
    return RuleLine(Reason.NOT_NOVEL, score is None or score <= limit, score, AT_MOST, limit)


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
