"""Rules on instances: each by itself, and those among the instances of one instruction."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from selfinstruct.common.records import Markers, ParsedInstance
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.instance_rules import INSTANCE_RULES, check_instances
from selfinstruct.filters.rule import Failure, Of
from selfinstruct.filters.rules import rules_in_force
from selfinstruct.filters.similarity import SAME_TEXT

MARKERS = Markers()
INSTRUCTION = "Name the capital of a country."
POINTING = "Correct the sentence below."
LOOP = " ".join(["and so on"] * 4) + "."  # 10 trigrams, 3 of their own


def instance(input: str, output: str, *, truncated: bool = False) -> ParsedInstance:
    return ParsedInstance(input, output, (0, 0), (0, 0), truncated)


def check(
    input: str, output: str, *, instruction: str = INSTRUCTION, **config: Any
) -> Failure | None:
    return check_alone(instance(input, output), instruction, **config)


def check_alone(
    one: ParsedInstance,
    instruction: str = INSTRUCTION,
    markers: Markers = MARKERS,
    **config: Any,
) -> Failure | None:
    values = RunConfig.model_validate({"instances": config})
    [failure] = check_instances(INSTANCE_RULES, instruction, [one], values, markers)
    return failure


def reasons(pairs: list[tuple[str, str]], **config: Any) -> list[str | None]:
    parsed = [instance(*pair) for pair in pairs]
    values = RunConfig.model_validate({"instances": config})
    verdicts = check_instances(INSTANCE_RULES, INSTRUCTION, parsed, values, MARKERS)
    return [verdict and verdict.reason for verdict in verdicts]


@pytest.mark.parametrize(
    ("input", "output"),
    [
        ("France", "Paris"),
        ("", "Paris is the capital of France."),
        ("France", "france has Paris"),
        ("2", "4"),
        ("", "x = 1  # Output: 5"),
        ("Give me: a\nb", "It is here: a"),
    ],
)
def test_good_instances_pass(input: str, output: str) -> None:
    assert check(input, output) is None


@pytest.mark.parametrize("output", ["", " ", "...", "-\n-", "“”"])
def test_an_output_without_a_word_is_empty(output: str) -> None:
    assert check("France", output) == Failure("empty_output")


@pytest.mark.parametrize("output", ["🙂", "+", "!="])
def test_an_output_of_symbols_is_not_empty(output: str) -> None:
    assert check("", output) is None


@pytest.mark.parametrize(
    ("input", "output", "reason", "threshold", "rule"),
    [
        ("", "It rained. And then the cat", "truncated", None, "truncated"),
        ("", "Paris, Rome,", "truncated", None, "truncated"),
        ("The country is:", "Paris", "ends_with_colon", None, "ends_with_colon"),
        ("France", "The capital is:", "ends_with_colon", None, "ends_with_colon"),
        ("France", "France", "output_equals_input", None, "output_equals_input"),
        ("France", "Paris\nInput: Italy", "prompt_echo", None, "prompt_echo"),
        ("France\n  Label: x", "Paris", "prompt_echo", None, "prompt_echo"),
        ("France", "### Paris", "prompt_echo", None, "prompt_echo"),
        ("France", "Task: Italy", "prompt_echo", None, "prompt_echo"),
        ("", "Name the capital of a country. Rome.", "prompt_echo", None, "prompt_echo"),
        ("Please name the capital of a country!", "x", "prompt_echo", None, "prompt_echo"),
        ("[country]", "Paris", "placeholder", None, "placeholder"),
        ("France", "<insert city>", "placeholder", None, "placeholder"),
        ("France", "As an AI, I have none.", "refusal", None, "refusal"),
        ("I cannot provide it.", "Paris", "refusal", None, "refusal"),
        ("France", "Sure! It is Paris.", "chatty_preamble", None, "chatty_preamble"),
        ("France", LOOP, "repetitive", 0.2, "max_repetition"),
        (LOOP, "Paris", "repetitive", 0.2, "max_repetition"),
    ],
)
def test_each_rule_gives_its_reason_and_can_be_switched_off(
    input: str, output: str, reason: str, threshold: float | None, rule: str
) -> None:
    assert check(input, output) == Failure(reason, threshold)
    off = None if rule == "max_repetition" else False
    assert check(input, output, **{rule: off}) is None


def test_missing_input() -> None:
    assert check("", "He is here.", instruction=POINTING) == Failure("missing_input")
    assert check("", "He is here.", instruction=POINTING, missing_input=False) is None
    assert check("He are here.", "He is here.", instruction=POINTING) is None


def test_a_truncated_instance_is_truncated_however_it_ends() -> None:
    one = instance("France", "Paris.", truncated=True)
    assert check_alone(one) == Failure("truncated")
    assert check_alone(one, truncated=False) is None


@pytest.mark.parametrize(
    ("instruction", "input", "output"),
    [
        ("Write the word in capital letters.", "hello", "HELLO"),
        ("Add the punctuation.", "lets eat grandma", "lets eat, grandma!"),
    ],
)
def test_an_output_that_differs_in_case_or_punctuation_is_another(
    instruction: str, input: str, output: str
) -> None:
    assert check(input, output, instruction=instruction) is None


def test_markers_are_the_templates_own() -> None:
    one = instance("France", "Paris\nEingabe: Italy")
    assert check_alone(one) is None
    assert check_alone(one, markers=Markers(input="Eingabe:")) == Failure("prompt_echo")


def test_of_equal_instances_the_first_stays() -> None:
    pairs = [("France", "Paris"), ("Italy", "Rome"), ("France", "Paris")]
    assert reasons(pairs) == [None, None, "duplicate_instance"]


def test_of_one_input_with_different_outputs_none_stays() -> None:
    pairs = [("France", "Paris"), ("Italy", "Rome"), ("France", "Lyon"), ("France", "Paris")]
    both = "conflicting_outputs"
    assert reasons(pairs) == [both, None, both, both]
    assert reasons(pairs, conflicting_outputs=False) == [
        *(None, None, None),
        "duplicate_instance",
    ]


def test_an_instance_that_falls_by_itself_conflicts_with_none() -> None:
    pairs = [("France", "Paris"), ("France", "The capital is:")]
    assert reasons(pairs) == [None, "ends_with_colon"]


def test_instances_beyond_the_most_are_surplus() -> None:
    pairs = [("a", "1"), ("b", ""), ("a", "1"), ("c", "3"), ("d", "4"), ("a", "1")]
    assert reasons(pairs, max_per_instruction=2) == [
        *(None, "empty_output", "duplicate_instance"),
        *(None, "surplus_instance", "duplicate_instance"),
    ]
    pairs, one_each = [("a", "1"), ("b", "2")], {"instances": {"max_per_instruction": 1}}
    [*_, last] = check_instances(
        INSTANCE_RULES,
        INSTRUCTION,
        [instance(*pair) for pair in pairs],
        RunConfig.model_validate(one_each),
        MARKERS,
    )
    assert last == Failure("surplus_instance", 1)


def test_each_label_is_kept_once_from_version_3_on() -> None:
    labels = ["good", "good", "bad", "good", "bad"]
    parsed = [instance(str(number), label) for number, label in enumerate(labels)]

    def of(version: int, **config: Any) -> list[str | None]:
        rules = rules_in_force(Of.INSTANCE, version)
        values = RunConfig.model_validate({"instances": {"max_per_instruction": 9, **config}})
        failures = check_instances(rules, INSTRUCTION, parsed, values, MARKERS)
        return [failure and failure.reason for failure in failures]

    surplus = "surplus_instance"
    assert of(3) == [None, surplus, None, surplus, surplus]
    assert of(3, max_per_output=2) == [None, None, None, surplus, None]
    assert of(3, max_per_output=None) == of(2) == [None] * 5


def test_no_instances_have_no_verdicts() -> None:
    assert reasons([]) == []


@pytest.mark.parametrize(("version", "reason"), [(2, "conflicting_outputs"), (3, None)])
def test_forms_of_unicode_are_no_difference_from_version_3_on(
    version: int, reason: str | None
) -> None:
    forms = [unicodedata.normalize(form, "Cà phê.") for form in ("NFC", "NFD")]
    parsed = [instance("x", form) for form in forms]
    rules = rules_in_force(Of.INSTANCE, version)
    same = SAME_TEXT.at(version)
    failures = check_instances(rules, INSTRUCTION, parsed, RunConfig(), MARKERS, same)
    assert [failure and failure.reason for failure in failures] == [
        reason,
        reason or "duplicate_instance",
    ]
