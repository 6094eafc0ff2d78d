"""Put a conversation to a model as a user would: its own chat template, or the canonical text."""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.engines.base import Engine
from selfinstruct.prompts.canonical import canonical_text
from selfinstruct.records import Message


def conversation_prompt(engine: Engine, messages: Sequence[Message]) -> str:
    """Return the whole prompt, ready for the model's next answer."""
    if engine.has_chat_template:
        return engine.chat_prompt(messages, thinking=False)
    return engine.raw_prompt(canonical_text(messages))
