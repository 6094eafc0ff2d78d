"""How completions are read: as their request says, and of older runs as was decided then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfinstruct.common.records import Form, Markers, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.prompts.reading import list_tag, opened_marker, reading_of_list, recorded_reading
from selfinstruct.store import Run, schema

Generate = Callable[..., tuple[Run, str]]
OWN = Markers(input="Given -", label="Kind -")


def recorded(stage: Stage, template: str, prompt: str, parents: int = 0) -> Reading:
    request = Request(
        *("x", "x", stage, Reading(Form.WHOLE), prompt, SamplingConfig()),
        template=template,
        parents=tuple(f"seed:{n}" for n in range(parents)),
    )
    return recorded_reading(request, prompt, lambda: OWN)


def test_a_list_goes_on_behind_its_number_and_tag() -> None:
    prompt = "1. A.\n2. B.\n3. Chess:"
    assert list_tag(prompt) == "Chess:"
    assert list_tag("1. A.\n2. B.\n3.") == ""
    assert reading_of_list(prompt, ["a", "b"], continues=True) == Reading(
        Form.LIST, first_number=3, continues=True, tag="Chess:"
    )
    # A conversation is answered from its start.
    assert reading_of_list("", ["a", "b"], continues=False) == Reading(Form.LIST, first_number=3)


def test_the_marker_that_a_prompt_ends_with() -> None:
    assert opened_marker("Task: x\nGiven -", OWN) == "Given -"
    assert opened_marker("Task: x\nKind -", OWN) == "Kind -"
    assert opened_marker("Task: x\nInput:", OWN) is None
    assert opened_marker("", OWN) is None


@pytest.mark.parametrize(
    ("stage", "template", "prompt", "expected"),
    [
        (
            *(Stage.PROPOSE, "propose.base.jinja", "1. A.\n2. Chess:"),
            Reading(Form.LIST, first_number=2, continues=True, tag="Chess:"),
        ),
        (
            *(Stage.PROPOSE, "propose.chat.jinja", "<user>1. A.<assistant>"),
            Reading(Form.LIST, first_number=2),
        ),
        (Stage.CLASSIFY, "classify.base.jinja", "Is it?", Reading(Form.LABEL)),
        (
            *(Stage.INSTANCES, "output_first.base.jinja", "x\nKind -"),
            Reading(Form.OUTPUT_FIRST, opened="Kind -"),
        ),
        (
            *(Stage.INSTANCES, "input_first.base.jinja", "x\nGiven -"),
            Reading(Form.INPUT_FIRST, opened="Given -"),
        ),
        (Stage.INSTANCES, "input_first.chat.jinja", "<user>x", Reading(Form.INPUT_FIRST)),
        (Stage.INSTANCES, "direct.chat.jinja", "x\nGiven -", Reading(Form.WHOLE)),
        (Stage.ANSWER, "answer.base.jinja", "x", Reading(Form.WHOLE)),
        (Stage.SCORE, "", "x", Reading(Form.WHOLE)),
    ],
)
def test_a_request_that_does_not_say_is_read_as_it_was_then(
    stage: Stage, template: str, prompt: str, expected: Reading
) -> None:
    assert recorded(stage, template, prompt, parents=1) == expected


@pytest.mark.parametrize("prompting", ["base", "chat"])
def test_new_and_old_columns_say_the_same(
    tmp_path: Path, generate: Generate, prompting: str
) -> None:
    """What is told with a request is what would have been found from its template and prompt.

    So it is in runs that are as old as that; later, a turn may be opened.
    """
    run, _ = generate(tmp_path / "run", model__prompting=prompting, rules_version=2)
    for number in run.rounds():
        told = run.completions(number)
        path = run.round_path(number) / "completions.parquet"
        older = pq.read_table(path).drop_columns(["about", "reading", "conversation"])
        pq.write_table(older, tmp_path / "old.parquet")
        found = schema.read_completions(tmp_path / "old.parquet", run.markers)
        for new, old in zip(told, found, strict=True):
            assert old.request.about == new.request.about
            if prompting == "base" or new.request.reading.form is not Form.LIST:
                assert old.request.reading == new.request.reading
            else:
                # The end of a rendered conversation was looked at too, and found nothing.
                assert replace(old.request.reading, tag="") == new.request.reading
            assert old.prompt == new.prompt
        assert {type(one.request.prompt).__name__ for one in told} == (
            {"str"} if prompting == "base" else {"Conversation"}
        )
