"""Every rule on its own: together they say what the verdict says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from selfinstruct.audit.rules import RuleLine, instance_rules, instruction_rules
from selfinstruct.common.records import Markers
from selfinstruct.config.schema import RunConfig
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run

Generate = Callable[..., tuple[Run, str]]
NAN = float("nan")


def test_the_rule_that_decided_is_the_first_that_does_not_hold(
    tmp_path: Path, generate: Generate
) -> None:
    """Each rule asked alone says what all of them said together."""
    run, _ = generate(tmp_path / "run", stop__target=25)
    config, prompts = stored_config(run), stored_inputs(run).prompts
    later = {"no_instances", "over_target", None}
    among = {"duplicate_instance", "conflicting_outputs", "surplus_instance", None}
    checked = 0
    for number in run.rounds():
        texts = {}
        for row in run.instructions(number):
            texts[row.id] = row
            columns = {name: getattr(row, name) for name in row.__slots__}
            rules = instruction_rules(columns, config, prompts.own_lines())
            failed = [rule.reason for rule in rules if rule.held is False]
            assert failed[:1] == ([] if row.reason in later else [row.reason]), row
            checked += 1
        for one in run.instances(number):
            task = texts[one.instruction_id]
            if one.reason is not None and one.reason == task.reason:
                continue  # it fell with its instruction
            columns = {name: getattr(one, name) for name in one.__slots__}
            found = instance_rules(columns, task.text, config, prompts.markers)
            failed = [rule.reason for rule in found if rule.held is False]
            assert failed[:1] == ([] if one.reason in among else [one.reason]), one
            checked += 1
    assert checked > 60


def instruction(text: str, **changes: object) -> dict[str, object]:
    row = {"text": text, "raw_text": text, "char_start": 0, "char_end": len(text), "reason": None}
    scores = {"mean_logprob": -1.0, "logprob_threshold": -2.0, "rouge_l": NAN}
    return row | scores | changes


def by_reason(lines: list[RuleLine]) -> dict[str, RuleLine]:
    return {line.reason: line for line in lines}


def test_what_was_measured_stands_beside_its_limit() -> None:
    row = instruction("Draw me a map of it, and then another one.", rouge_l=0.8)
    found = by_reason(instruction_rules(row, RunConfig(), frozenset()))
    assert found["too_short"] == RuleLine("too_short", True, 10, "≥", 4)
    assert found["unsuitable_keyword"] == RuleLine("unsuitable_keyword", False)
    assert found["not_novel"] == RuleLine("not_novel", False, 0.8, "≤", 0.7)
    assert found["low_likelihood"] == RuleLine("low_likelihood", True, -1.0, "≥", -2.0)


def test_what_cannot_be_asked_was_not_judged() -> None:
    row = instruction("Name three rivers of Europe.", mean_logprob=NAN, logprob_threshold=None)
    found = by_reason(instruction_rules(row, RunConfig(), frozenset()))
    assert found["low_likelihood"].held is None
    assert found["not_novel"].held is True
    assert "too_likely" not in found


def test_rules_that_are_off_are_left_out() -> None:
    config = RunConfig.model_validate(
        {"rules": {"min_words": None, "keywords": [], "script": None}}
    )
    found = by_reason(instruction_rules(instruction("Draw."), config, frozenset()))
    assert not {"too_short", "wrong_script"} & found.keys()
    assert "unsuitable_keyword" in found  # forbidden starts are of the same reason
    off = RunConfig.model_validate({"instances": {"refusal": False, "max_repetition": None}})
    row = {"input": "", "output": "I cannot do that.", "reason": None, "kind": None}
    row |= {"mean_logprob": NAN, "logprob_threshold": None}
    lines = by_reason(instance_rules(row, "Name a river.", off, Markers()))
    assert not {"refusal", "repetitive"} & lines.keys()
