"""Prompts for a conversation: the model's own chat template, or the canonical text."""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.common.records import Conversation, Message, Prompt
from selfinstruct.engines.base import Engine
from selfinstruct.prompts.canonical import canonical_text


def conversation_prompt(engine: Engine, messages: Sequence[Message]) -> Prompt:
    """Return the prompt for the model's next answer."""
    if engine.has_chat_template:
        return Conversation(tuple(messages))
    return canonical_text(messages)


def prompt_tokens(engine: Engine, prompt: Prompt) -> int:
    """Count the tokens that the model sees for a prompt."""
    return len(engine.encode(engine.render(prompt)))
