"""Prompts that ask for a final answer, in both modes and in every language."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from selfinstruct.common.errors import ConfigError
from selfinstruct.filters.final_answers import final_answer
from selfinstruct.prompts import solving
from selfinstruct.prompts.solving import WORDS, Problem, load_solving_prompts, solving_prompts_from

LANGUAGES = sorted(path.stem for path in Path(solving.SHIPPED).glob("*.yaml"))


def test_the_raw_prompt_ends_where_the_model_continues() -> None:
    prompts = load_solving_prompts()
    text = prompts.text(Problem("Add them.", "2, 3", rationale=True))
    assert text.endswith("###\n\nTask: Add them.\n2, 3\nSolution:")
    assert "From 20 euros, 20 - 12 = 8 euros are left.\nAnswer: 8\n" in text
    assert "Hint:" not in text
    short = prompts.text(Problem("Add them.", "", rationale=False))
    assert short.endswith("Task: Add them.\nAnswer:")
    assert "Solution:" not in short
    hinted = prompts.text(Problem("Add them.", "2, 3", rationale=True, hint="5"))
    assert hinted.endswith("Task: Add them.\n2, 3\nHint: the right answer is 5\nSolution:")
    assert hinted.count("Hint:") == 4  # also in the three examples, as in STaR
    assert prompts.stop == ("\n###", "\nTask:")


def test_a_conversation_asks_in_its_last_turn() -> None:
    prompts = load_solving_prompts()
    messages = prompts.messages(Problem("Add them.", "2, 3", rationale=True, hint="5"))
    assert [message["role"] for message in messages] == ["user", "assistant"] * 3 + ["user"]
    assert messages[1]["content"].endswith("8 euros are left.\nAnswer: 8")
    parts = messages[-1]["content"].split("\n\n")
    assert parts[:3] == ["Add them.", "2, 3", "Hint: the right answer is 5"]
    assert parts[3].startswith("Think step by step")
    short = prompts.messages(Problem("Add them.", "", rationale=False))
    assert short[1]["content"] == "8"
    assert short[-1]["content"] == "Add them.\n\nGive the final answer only, as short as possible."


@pytest.mark.parametrize("language", LANGUAGES)
def test_examples_of_every_language_are_in_the_form_that_they_ask_for(language: str) -> None:
    prompts = load_solving_prompts(language)
    examples = yaml.safe_load(prompts.files[WORDS])["examples"]
    answers = prompts.messages(Problem("?", "", rationale=True))[1::2]
    for example, message in zip(examples, answers, strict=True):
        found = final_answer(message["content"], prompts.marker, needs_marker=True)
        assert found is not None
        assert found.text == example["answer"]


def test_what_a_commit_keeps_is_read_back() -> None:
    prompts = load_solving_prompts("de")
    assert solving_prompts_from(prompts.files) == prompts
    with pytest.raises(ConfigError, match=r"words\.yaml of own answers"):
        solving_prompts_from({**prompts.files, WORDS: "task: x"})
    with pytest.raises(ConfigError, match=r"language 'fr': .* there are: de, en, vi, zh"):
        load_solving_prompts("fr")
