"""Rules on instances: each by itself, and those among the instances of one instruction."""

from __future__ import annotations

from typing import Any

import pytest

from selfinstruct.config import InstancesConfig
from selfinstruct.filters.heuristics import Failure
from selfinstruct.filters.instances import check_instance, check_instances
from selfinstruct.records import Markers, ParsedInstance, Reason

MARKERS = Markers()
INSTRUCTION = "Name the capital of a country."
POINTING = "Correct the sentence below."
LOOP = " ".join(["and so on"] * 4) + "."  # 10 trigrams, 3 of their own


def instance(input: str, output: str, *, truncated: bool = False) -> ParsedInstance:
    return ParsedInstance(input, output, (0, 0), (0, 0), truncated)


def check(
    input: str, output: str, *, instruction: str = INSTRUCTION, **config: Any
) -> Failure | None:
    return check_instance(instruction, instance(input, output), InstancesConfig(**config), MARKERS)


def reasons(pairs: list[tuple[str, str]], **config: Any) -> list[Reason | None]:
    verdicts = check_instances(
        INSTRUCTION, [instance(*pair) for pair in pairs], InstancesConfig(**config), MARKERS
    )
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
    assert check("France", output) == Failure(Reason.EMPTY_OUTPUT)


@pytest.mark.parametrize("output", ["🙂", "+", "!="])
def test_an_output_of_symbols_is_not_empty(output: str) -> None:
    assert check("", output) is None


@pytest.mark.parametrize(
    ("input", "output", "reason", "threshold", "rule"),
    [
        ("", "It rained. And then the cat", Reason.TRUNCATED, None, "truncated"),
        ("", "Paris, Rome,", Reason.TRUNCATED, None, "truncated"),
        ("The country is:", "Paris", Reason.ENDS_WITH_COLON, None, "ends_with_colon"),
        ("France", "The capital is:", Reason.ENDS_WITH_COLON, None, "ends_with_colon"),
        ("France", "France", Reason.OUTPUT_EQUALS_INPUT, None, "output_equals_input"),
        ("France", "Paris\nInput: Italy", Reason.PROMPT_ECHO, None, "prompt_echo"),
        ("France\n  Label: x", "Paris", Reason.PROMPT_ECHO, None, "prompt_echo"),
        ("France", "### Paris", Reason.PROMPT_ECHO, None, "prompt_echo"),
        ("France", "Task: Italy", Reason.PROMPT_ECHO, None, "prompt_echo"),
        ("", "Name the capital of a country. Rome.", Reason.PROMPT_ECHO, None, "prompt_echo"),
        ("Please name the capital of a country!", "x", Reason.PROMPT_ECHO, None, "prompt_echo"),
        ("[country]", "Paris", Reason.PLACEHOLDER, None, "placeholder"),
        ("France", "<insert city>", Reason.PLACEHOLDER, None, "placeholder"),
        ("France", "As an AI, I have none.", Reason.REFUSAL, None, "refusal"),
        ("I cannot provide it.", "Paris", Reason.REFUSAL, None, "refusal"),
        ("France", "Sure! It is Paris.", Reason.CHATTY_PREAMBLE, None, "chatty_preamble"),
        ("France", LOOP, Reason.REPETITIVE, 0.2, "max_repetition"),
        (LOOP, "Paris", Reason.REPETITIVE, 0.2, "max_repetition"),
    ],
)
def test_each_rule_gives_its_reason_and_can_be_switched_off(
    input: str, output: str, reason: Reason, threshold: float | None, rule: str
) -> None:
    assert check(input, output) == Failure(reason, threshold)
    off = None if rule == "max_repetition" else False
    assert check(input, output, **{rule: off}) is None


def test_missing_input() -> None:
    assert check("", "He is here.", instruction=POINTING) == Failure(Reason.MISSING_INPUT)
    assert check("", "He is here.", instruction=POINTING, missing_input=False) is None
    assert check("He are here.", "He is here.", instruction=POINTING) is None


def test_a_truncated_instance_is_truncated_however_it_ends() -> None:
    one = instance("France", "Paris.", truncated=True)
    config = InstancesConfig()
    assert check_instance(INSTRUCTION, one, config, MARKERS) == Failure(Reason.TRUNCATED)
    config = InstancesConfig(truncated=False)
    assert check_instance(INSTRUCTION, one, config, MARKERS) is None


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
    config = InstancesConfig()
    assert check_instance(INSTRUCTION, one, config, MARKERS) is None
    assert check_instance(INSTRUCTION, one, config, Markers(input="Eingabe:")) == Failure(
        Reason.PROMPT_ECHO
    )


def test_of_equal_instances_the_first_stays() -> None:
    pairs = [("France", "Paris"), ("Italy", "Rome"), ("France", "Paris")]
    assert reasons(pairs) == [None, None, Reason.DUPLICATE_INSTANCE]


def test_of_one_input_with_different_outputs_none_stays() -> None:
    pairs = [("France", "Paris"), ("Italy", "Rome"), ("France", "Lyon"), ("France", "Paris")]
    both = Reason.CONFLICTING_OUTPUTS
    assert reasons(pairs) == [both, None, both, both]
    assert reasons(pairs, conflicting_outputs=False) == [
        *(None, None, None),
        Reason.DUPLICATE_INSTANCE,
    ]


def test_an_instance_that_falls_by_itself_conflicts_with_none() -> None:
    pairs = [("France", "Paris"), ("France", "The capital is:")]
    assert reasons(pairs) == [None, Reason.ENDS_WITH_COLON]


def test_instances_beyond_the_most_are_surplus() -> None:
    pairs = [("a", "1"), ("b", ""), ("a", "1"), ("c", "3"), ("d", "4"), ("a", "1")]
    assert reasons(pairs, max_per_instruction=2) == [
        *(None, Reason.EMPTY_OUTPUT, Reason.DUPLICATE_INSTANCE),
        *(None, Reason.SURPLUS_INSTANCE, Reason.DUPLICATE_INSTANCE),
    ]
    [*_, last] = check_instances(
        INSTRUCTION,
        [instance("a", "1"), instance("b", "2")],
        InstancesConfig(max_per_instruction=1),
        MARKERS,
    )
    assert last == Failure(Reason.SURPLUS_INSTANCE, 1)


def test_no_instances_have_no_verdicts() -> None:
    assert reasons([]) == []
