"""Conversations in every kind of chat template that models come with."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Conversation, LocalModel
from selfinstruct.engines.rendering import render
from selfinstruct.prompts.chat_template import chat_template, merged, system_in_first_turn
from selfinstruct.prompts.template import prompt_text
from tests.prompts.chat_kinds import ASKED, KINDS, SHAPES, SYSTEM, tokenizer, turn

MODEL = LocalModel("m", Path("m"), "digest", {"model_type": "llama"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_conversation_in_each_kind_of_template(kind: str, shape: str) -> None:
    turns, opened = SHAPES[shape]
    own = tokenizer(KINDS[kind].template)
    text = render(Conversation(tuple(turns), opened=opened), MODEL, own)
    assert text == getattr(KINDS[kind], shape)
    # The engine encodes the text as it is: a BOS of the template is there once.
    ids = own.encode(text, add_special_tokens=False)
    assert ids.count(0) == text.count("<s>") <= 1


def test_training_and_rewards_see_the_same_text() -> None:
    for kind in KINDS.values():
        assert prompt_text(SYSTEM, tokenizer(kind.template)) == kind.with_system


def test_thinking_is_switched_on_where_it_is_asked_for() -> None:
    def text(kind: str) -> str:
        return render(Conversation(tuple(ASKED), thinking=True), MODEL, own(kind))

    def own(kind: str) -> Any:
        return tokenizer(KINDS[kind].template)

    assert text("thinking by a variable, as Qwen 3").endswith("assistant\n")
    assert text("thinking by a variable of another name, as Granite").endswith("<think>")
    keyword = text("thinking by a keyword in the system text")
    assert keyword.endswith("<think>")
    assert "no_think" not in keyword


def test_a_template_without_a_system_role_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    own = tokenizer(KINDS["no system role, turns alternate, as Gemma"].template)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            render(Conversation(tuple(SYSTEM)), MODEL, own)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "the chat template of m has no system role: system text is put before the first user turn"
    ]


def test_turns_of_one_role_are_made_one_where_roles_must_alternate() -> None:
    own = tokenizer(KINDS["no system role, turns alternate, as Gemma"].template)
    text = chat_template(own).text([*SYSTEM, turn("user", "V")])
    assert text == "<s><turn>user\nS\n\nU\n\nV</turn>\n<turn>model\n"
    plain = tokenizer(KINDS["one line a role, as Phi"].template)
    assert chat_template(plain).text([turn("user", "U"), turn("user", "V")]).count("<|user|>") == 2


def test_what_a_template_refuses_is_said_with_its_own_words() -> None:
    own = tokenizer(KINDS["no system role, turns alternate, as Gemma"].template)
    with pytest.raises(ConfigError, match=r"'m'.* roles assistant, user: Roles must alternate; "):
        render(Conversation((turn("assistant", "A"), turn("user", "U"))), MODEL, own)
    broken = tokenizer("{{ nothing.of.this }}")
    with pytest.raises(ConfigError, match="refuses a conversation of the roles user"):
        render(Conversation(tuple(ASKED)), MODEL, broken)


def test_system_text_alone_is_a_user_turn() -> None:
    assert system_in_first_turn([turn("system", "S")]) == [turn("user", "S")]
    assert system_in_first_turn([turn("system", "S"), turn("assistant", "A")]) == [
        turn("user", "S"),
        turn("assistant", "A"),
    ]
    assert merged([]) == []
