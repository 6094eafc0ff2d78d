"""Proposals of chat models: the model's turn is opened with the next number, where it can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Conversation, LocalModel, Prompt, Request
from selfinstruct.config.values import build_config, nested
from selfinstruct.engines.base import Capabilities
from selfinstruct.engines.rendering import render
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.requests import PoolTask, RequestBuilder
from selfinstruct.inputs.run_inputs import parse_inputs
from selfinstruct.prompts import load_prompts
from selfinstruct.prompts.library import SHIPPED, prompts_from_files
from selfinstruct.store import Run
from selfinstruct.verdicts.replay import replay
from tests.conftest import make_seed
from tests.prompts.chat_kinds import KINDS, tokenizer

Generate = Callable[..., tuple[Run, str]]
CHAT = {"propose": "chat", "classify": "chat", "instances": "chat"}
TASKS = [PoolTask("seed:a", "Name a bird."), PoolTask("seed:b", "Name a tree.")]
MODEL = LocalModel("m", Path("m"), "digest", {"model_type": "llama"})
CANNOT = Capabilities(logprobs=True, score=True, seeded=True, continues=False)
OLD = '{{ turn("user") }}Go on: {% for task in tasks %}{{ loop.index }}. {{ task }} {% endfor %}'


def builder(
    engine: ScriptedEngine | None = None, template: str | None = None, **values: Any
) -> RequestBuilder:
    dotted = {key.replace("__", "."): value for key, value in values.items()}
    config = build_config(nested({"propose.in_context": 2, "propose.from_seeds": 2} | dotted), "x")
    files = dict(load_prompts().files)
    if template is not None:
        files["propose.chat.jinja"] = template
    seeds = "".join(json.dumps(make_seed(number)) + "\n" for number in range(9))
    inputs = parse_inputs({"seeds.jsonl": seeds.encode()}, prompts_from_files(files))
    return RequestBuilder(config, inputs, engine or ScriptedEngine(lambda _: ""), CHAT)


def proposal(requests: RequestBuilder) -> Request:
    return requests.proposed.listing("r00000-p000", TASKS, "")


def conversation(request: Request) -> Conversation:
    assert isinstance(request.prompt, Conversation)
    return request.prompt


def test_the_turn_is_opened_with_the_next_number() -> None:
    request = proposal(builder())
    opened = conversation(request).opened
    assert opened.endswith("3.")
    assert (request.reading.first_number, request.reading.continues) == (3, True)
    assert "\n17." in request.sampling.stop
    # Whatever the model writes is a new item: the list cannot start again.
    assert conversation(request).messages[-1]["role"] == "user"


@pytest.mark.parametrize(
    "values",
    [
        {"engine": ScriptedEngine(lambda _: "", capabilities=CANNOT)},
        {"model__thinking": True},
        {"rules_version": 2},
    ],
)
def test_a_turn_that_cannot_be_opened_is_a_new_one(values: dict[str, Any]) -> None:
    request = proposal(builder(**values))
    assert conversation(request).opened == ""
    assert (request.reading.first_number, request.reading.continues) == (3, False)
    [asked] = conversation(request).messages
    assert "1. Name a bird.\n2. Name a tree.\n\nContinue the list with 14 new" in asked["content"]
    assert request.sampling.stop == ()


def test_a_template_without_a_turn_of_the_model_is_asked_as_it_is() -> None:
    request = proposal(builder(template=OLD))
    assert conversation(request).opened == ""
    assert not request.reading.continues


def test_a_template_opens_the_turn_as_it_likes() -> None:
    request = proposal(builder(template=OLD + '{{ turn("assistant") }}Sure, here they are:'))
    assert conversation(request).opened == "Sure, here they are:"
    assert not request.reading.continues  # the first number is still to come


def test_a_template_must_not_open_a_turn_that_the_engine_cannot_continue() -> None:
    engine = ScriptedEngine(lambda _: "", capabilities=CANNOT)
    requests = builder(engine, template=OLD + '{{ turn("assistant") }}3.')
    with pytest.raises(ConfigError, match=r"propose.chat.jinja: ends with .* this engine cannot"):
        proposal(requests)


class Templated(ScriptedEngine):
    """Renders with a chat template of a kind."""

    def __init__(self, kind: str) -> None:
        super().__init__(lambda _: "")
        self._tokenizer = tokenizer(KINDS[kind].template)

    def render(self, prompt: Prompt) -> str:
        return render(prompt, MODEL, self._tokenizer)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("system", [None, "Answer like a pirate."])
def test_every_stage_in_each_kind_of_template(kind: str, system: str | None) -> None:
    engine = Templated(kind)
    requests = builder(engine, model__system=system)
    requests.check_context()
    asked = {
        "propose": proposal(requests),
        "classify": requests.classify("r00000-p000-i00", "Name a fish."),
        "direct": requests.instances("x", "Name a fish.", is_classification=False),
        "input_first": requests.instances("x", "Sort the given list.", is_classification=False),
        "output_first": requests.instances("x", "Is it a fish?", is_classification=True),
        "answer": requests.answer("x", "Sort the given list.", "3, 1"),
    }
    for name, request in asked.items():
        text = engine.render(request.prompt)
        turns = conversation(request)
        places = [text.find(turn["content"]) for turn in turns.messages]
        assert -1 not in places, name
        assert places == sorted(places), name
        assert text.endswith(turns.opened), name
        assert text.count("<s>") == text.startswith("<s>"), name
        is_label = name == "classify"
        assert (system or "pirate") in text if system and not is_label else True, name
        assert is_label <= ("pirate" not in text), name


def test_a_run_of_a_chat_model_replays(tmp_path: Path, generate: Generate) -> None:
    values = {"model__prompting": "chat", "instances__direct": False}
    run, reason = generate(tmp_path / "run", **values)
    assert reason == "target"
    assert replay(run) == []
    proposals = [c for c in run.completions(0) if c.request.template == "propose.chat.jinja"]
    assert all(c.request.reading.continues for c in proposals)
    assert all(conversation(c.request).opened.endswith("9.") for c in proposals)


def test_the_shipped_template_asks_older_runs_as_before() -> None:
    """The second part of the template is what it was."""
    text = (SHIPPED / "propose.chat.jinja").read_text("utf-8")
    assert "{% else %}" in text
    shown = [f"Task {number}." for number in range(3)]
    values = {"tasks": shown, "list_length": 16, "domain": "chess", "topic": "openings"}
    [message] = load_prompts().messages("propose.chat.jinja", **values, can_open=False)
    numbered = "\n".join(f"{place}. {task}" for place, task in enumerate(shown, start=1))
    assert message["content"] == (
        f"Here are {len(shown)} tasks from the field of chess that people give to a capable text "
        f"assistant:\n\n{numbered}\n\nContinue the list with {16 - len(shown)} new tasks, numbered "
        f"{len(shown) + 1} to 16, one a line. All of them belong to the field of chess. Make them "
        "about openings. Each new task must differ from all the others in subject and in kind, be "
        "complete in itself, and be something that can be done with text alone. Write only the "
        "list; do not carry out the tasks."
    )
