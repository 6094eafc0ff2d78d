"""The text that a model sees for a prompt: BOS before a text, chat markup around a conversation."""

from __future__ import annotations

from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Conversation, LocalModel, Prompt
from selfinstruct.engines.tokenizer import bos_text


def render(prompt: Prompt, model: LocalModel, tokenizer: Any) -> str:
    """Return the whole text of a prompt.

    Args:
        prompt: a text gets the BOS that the model needs, unless it starts with it.
        model: decides about the BOS; its name is for messages.
        tokenizer: a transformers tokenizer.

    Raises:
        ConfigError: the prompt is a conversation, and the tokenizer has no chat template.
    """
    if isinstance(prompt, Conversation):
        return _conversation(prompt, model, tokenizer)
    bos = bos_text(model=model, tokenizer=tokenizer)
    return prompt if bos and prompt.startswith(bos) else bos + prompt


def _conversation(conversation: Conversation, model: LocalModel, tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        raise ConfigError(f"model {model.name!r} has no chat template; use --prompting base")
    messages = [dict(message) for message in conversation.messages]
    # The opened text follows the start mark of the model's turn; the turn gets no end mark.
    text = tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=conversation.thinking,
    )
    return f"{text}{conversation.opened}"
