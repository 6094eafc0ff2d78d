"""The rule on text that version 5 of the rules changed: a task about a worked passage is a copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from selfinstruct.filters.changes import COPIES_PROMPT
from selfinstruct.filters.copies import copies_shown
from selfinstruct.filters.turns import is_about_example


def is_about_worked_passage(text: str, prompt: str, worked: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a task is about a worked passage of its prompt, and not about its own passage.

    Args:
        text: of the task.
        prompt: as the model saw it: worked passages with their tasks, then the passage.
        worked: passages of the templates, each with its `text`, `tasks` and `subjects`: words that
            it alone is about.
    """
    shown = [passage for passage in worked if passage["text"] in prompt]
    for passage in shown:
        for own in (passage["text"], *passage["tasks"]):
            prompt = prompt.replace(own, "\n")
    subjects = [subject for passage in shown for subject in passage.get("subjects", ())]
    return is_about_example(text, [prompt], subjects)


COPIES_PROMPT_5 = replace(
    COPIES_PROMPT,
    since=5,
    help=COPIES_PROMPT.help,
    breaks=lambda facts, _: facts.strays or copies_shown(facts.text, facts.shown),
    details="word for word; case and punctuation are ignored. In a run about documents, the prompt "
    "first shows example passages with tasks about them. `subjects` in prompts.yaml lists the "
    "typical words of each example passage. A task that has such a word is rejected if its own "
    "passage does not have the word",
)
