"""The list of rules: what is derived from it, versions, and a rule that is added."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.versions import RULES_VERSION, Versioned
from selfinstruct.config.schema import RunConfig, leaves
from selfinstruct.filters import rules
from selfinstruct.filters.instruction_rules import INSTRUCTION_RULES
from selfinstruct.filters.rule import (
    InstanceFacts,
    InstructionFacts,
    Of,
    Rule,
    When,
    checks_of,
    first_failed,
    first_failure,
)
from selfinstruct.filters.rules import (
    RULES,
    fails_by_its_text,
    passed_text_rules,
    reasons,
    rules_in_force,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def own_list(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Rule]]:
    """A list of rules that a test may change."""
    changed = list(RULES)
    monkeypatch.setattr(rules, "RULES", changed)
    cached = (rules_in_force, passed_text_rules, fails_by_its_text, rules.steps_of)
    for function in cached:
        function.cache_clear()
    yield changed
    for function in cached:
        function.cache_clear()


def test_each_rule_has_a_name_a_meaning_and_keys_of_its_section() -> None:
    keys = {key for key, _, _, _ in leaves(RunConfig())}
    for of in Of:
        names = [rule.name for rule in rules_in_force(of, RULES_VERSION)]
        assert len(names) == len(set(names))
    assert all(reasons().values())
    for rule in RULES:
        assert {f"{rule.section}.{name}" for name in rule.limits.model_fields} <= keys
        assert rule.breaks is None or rule.measure is None
        assert rule.is_checked or rule.when in (When.READ, When.LAST)


def test_rules_are_asked_in_the_order_of_the_flow() -> None:
    for of in Of:
        steps = [rule.when for rule in rules_in_force(of, RULES_VERSION)]
        assert steps == sorted(steps)
    for version in (2, RULES_VERSION):
        own = [r.name for r in rules_in_force(Of.INSTRUCTION, version) if r.when is When.TEXT]
        kept = list(dict.fromkeys(r.name for r in INSTRUCTION_RULES if r.until is None))
        assert [name for name in own if name in kept] == kept
    assert own[:2] == ["too_many", "copies_prompt"]


def test_what_fell_later_had_passed_the_rules_on_its_text() -> None:
    late = {reason for reason in reasons() if passed_text_rules(reason)}
    assert late == {
        *("low_likelihood", "too_likely", "unscorable", "not_novel"),
        "holds_known",
        *("no_instances", "pending_instances", "over_target"),
        # Of a model's own answers, which only stand beside the instances.
        *("no_final_answer", "low_agreement", "no_match"),
        # Of turns of self-chats, and of self-chats.
        *("unanswered", "after_end", "short_chat", "opening_rejected"),
    }
    assert passed_text_rules(None)


def test_an_instance_that_fails_by_its_text_failed_for_itself() -> None:
    shared = {rule.reason for rule in RULES if rule.of is Of.INSTRUCTION}
    assert {reason for reason in shared if fails_by_its_text(reason)} == {
        *("parse_failure", "truncated", "prompt_echo", "placeholder", "refusal"),
        *("chatty_preamble", "too_many"),
    }


def test_a_changed_check_counts_since_its_version(own_list: list[Rule]) -> None:
    short = next(rule for rule in own_list if rule.name == "min_words")
    lenient = replace(short, measure=None, breaks=lambda facts, _: not facts.text, since=2)
    own_list.append(lenient)
    facts, config = InstructionFacts("Name birds."), RunConfig()
    before, after = (rules_in_force(Of.INSTRUCTION, version) for version in (1, 2))
    assert first_failure(before, facts, config).reason == "too_short"  # type: ignore[union-attr]
    assert first_failure(after, facts, config) is None
    assert [rule.name for rule in before] == [rule.name for rule in after]


def test_a_rule_that_is_taken_out_still_judges_older_runs(own_list: list[Rule]) -> None:
    place = next(n for n, rule in enumerate(own_list) if rule.name == "not_a_task")
    own_list[place] = replace(own_list[place], until=2)
    assert own_list[place] in rules_in_force(Of.INSTRUCTION, 1)
    assert own_list[place] not in rules_in_force(Of.INSTRUCTION, 2)
    assert "not_a_task" in reasons()


def test_reasons_that_nothing_gives_any_more_are_read(
    own_list: list[Rule], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rules.REMOVED_REASONS, "too_dull", "nobody laughed")
    assert reasons()["too_dull"] == "nobody laughed"
    assert list(reasons())[-1] == "too_dull"


def test_versions_of_a_function() -> None:
    upper = Versioned(str.upper)
    changed = upper.changed(3, str.lower)
    assert [changed.at(version)("Ab") for version in (1, 2, 3, 4)] == ["AB", "AB", "ab", "ab"]
    assert upper.at(9)("Ab") == "AB"


def test_a_rule_that_is_added_shows_everywhere(
    tmp_path: Path, model_folder: Path, seeds_file: Path
) -> None:
    script = Path(__file__).with_name("throwaway_rule.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path, model_folder, seeds_file],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["config"] is True
    assert found["docs"] == [True, True, True]
    assert found["version"] == RULES_VERSION + 1
    assert found["new"]["Praise the bee"] == "speaks_of_bees"
    assert found["new"]["Describe the h"] is None
    assert found["audit"] == [False]
    assert found["replay"] == 0
    assert found["whatif"] is True
    # A run of before the rule is judged without it, whatever today's default says; so is one
    # that asks for the rules of that time.
    assert (found["old"]["Praise the bee"], found["old_value"]) == (None, False)
    assert found["old_replay"] == 0
    assert found["asked"]["Praise the bee"] is None


WORDS = [
    "Write",
    " a",
    " map",
    ".",
    "?",
    ":",
    " [name]",
    " I cannot help",
    " the",
    "###",
    " 5",
    "é",
]


@pytest.mark.parametrize("version", range(1, RULES_VERSION + 1))
@given(text=st.lists(st.sampled_from(WORDS), min_size=1).map("".join), off=st.booleans())
def test_checks_that_are_chosen_once_find_the_first_failure(
    version: int, text: str, off: bool
) -> None:
    switches = {"refusal": False, "max_repetition": None, "keywords": ()} if off else {}
    config = RunConfig.model_validate({"rules": switches, "rules_version": version})
    for of, facts in (
        (Of.INSTRUCTION, InstructionFacts(text, shown=(" a map.",), mean_logprob=-9.0)),
        (Of.INSTANCE, InstanceFacts(text, text[:3], text, mean_logprob=-9.0)),
    ):
        own = rules_in_force(of, version)
        assert first_failed(checks_of(own, config), facts) == first_failure(own, facts, config)
