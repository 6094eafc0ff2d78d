"""A task about a worked passage of the prompt, and not about its own, copies the prompt (v5)."""

from __future__ import annotations

import pytest

from selfinstruct.common.records import Completion, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.changes_5 import is_about_worked_passage
from selfinstruct.prompts import load_prompts
from selfinstruct.verdicts.candidates import check_instruction_texts
from selfinstruct.verdicts.rulebook import Rulebook

PROMPTS = load_prompts()
OWN = "The novelty index keeps every text in a queue of its own, and a worker takes the first."


def prompt(*shown: int, own: str = OWN) -> str:
    parts = []
    for number in shown:
        worked = PROMPTS.passages[number]
        tasks = "\n".join(f"{n}. {task}" for n, task in enumerate(worked["tasks"], start=1))
        parts.append(f"Text:\n{worked['text']}\n\nTasks:\n{tasks}")
    return "\n\n###\n\n".join([*parts, f"Text:\n{own}\n\nTasks:\n1."])


@pytest.mark.parametrize(
    ("task", "shown", "strays"),
    [
        ("Explain why the mill burned down.", (0, 3), True),
        ("Describe the millstones to a child.", (0, 3), True),
        ("Describe the millstones to a child.", (1, 3), False),  # it was not shown
        ("Explain what the worker takes first.", (0, 3), False),
        ("Say why the index keeps its texts in a queue.", (0, 3), False),  # its own passage does
        ("Compare a queue with a stack.", (0, 3), True),
        ("Name the seven swifts of the tale.", (4,), True),
    ],
)
def test_a_word_of_a_worked_passage_tells(task: str, shown: tuple[int, ...], strays: bool) -> None:
    assert is_about_worked_passage(task, prompt(*shown), PROMPTS.passages) is strays


@pytest.mark.parametrize("language", [None, "de", "vi", "zh"])
def test_the_worked_tasks_and_passages_of_every_language_name_their_subjects(
    language: str | None,
) -> None:
    passages = load_prompts(language=language).passages
    assert passages
    for passage in passages:
        assert passage["subjects"]
        said = "\n".join([passage["text"], *passage["tasks"]]).casefold()
        assert any(subject in said for subject in passage["subjects"])
        assert is_about_worked_passage(passage["text"], passage["text"], [passage])


@pytest.mark.parametrize(("version", "reason"), [(4, None), (5, "copies_prompt")])
def test_such_a_task_is_rejected_from_version_5_on(version: int, reason: str | None) -> None:
    text = "Write a short poem about the burning of the old mill.\n2. Explain the queue to a child."
    request = Request(
        "r00000-p000-propose",
        "r00000-p000",
        Stage.PROPOSE,
        Reading(Form.LIST, source="run.md#4-3fa91c"),
        prompt(0, 3),
        SamplingConfig(),
        seed=1,
    )
    completion = Completion(request, text, (), None, (), (), "stop", 9, prompt=prompt(0, 3))
    rulebook = Rulebook(RunConfig(rules_version=version), PROMPTS)
    mill, queue = check_instruction_texts([completion], 0, rulebook, lambda _: None)
    assert (mill.reason, queue.reason) == (reason, None)
