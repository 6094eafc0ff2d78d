"""The text that a model sees for a prompt: BOS before a text, chat markup around a conversation."""

from __future__ import annotations

from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Conversation, LocalModel, Prompt
from selfinstruct.engines.tokenizer import bos_text
from selfinstruct.prompts.chat_template import chat_template


def render(prompt: Prompt, model: LocalModel, tokenizer: Any) -> str:
    """Return the whole text of a prompt.

    Args:
        prompt: a text gets the BOS that the model needs, unless it starts with it.
        model: decides about the BOS; its name is for messages.
        tokenizer: a transformers tokenizer.

    Raises:
        ConfigError: the prompt is a conversation, and the tokenizer has no chat template, or one
            that refuses it.
    """
    if isinstance(prompt, Conversation):
        return _conversation(prompt, model, tokenizer)
    bos = bos_text(model=model, tokenizer=tokenizer)
    return prompt if bos and prompt.startswith(bos) else bos + prompt


def _conversation(conversation: Conversation, model: LocalModel, tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        raise ConfigError(f"model {model.name!r} has no chat template; use --prompting base")
    return chat_template(tokenizer, model.name).text(
        conversation.messages, conversation.opened, thinking=conversation.thinking
    )
