"""The text that a model sees for a prompt: BOS before a text, chat markup around a conversation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Conversation, LocalModel, Message, Prompt
from selfinstruct.engines.tokenizer import bos_text
from selfinstruct.prompts.chat_template import chat_template
from selfinstruct.prompts.text_tokens import text_tokens

# Stands for a user's turn while its beginning is rendered; no template writes it by itself.
_USER_TURN = "Qx7 user turn"


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


def render_ids(prompt: Prompt, model: LocalModel, tokenizer: Any) -> tuple[str, list[int]]:
    """Return the whole text of a prompt and its token ids.

    In a conversation, control tokens that stand in somebody's words are characters: only the chat
    template writes control tokens. Raw text is encoded as it is.

    Raises:
        ConfigError: as `render`.
    """
    text = render(prompt, model, tokenizer)
    tokens = text_tokens(tokenizer)
    if not isinstance(prompt, Conversation):
        return text, tokens.encode(text)
    if not (mark := tokens.mark_of([prompt.messages, prompt.opened])):
        return text, tokens.encode(text)
    messages = tuple(tokens.marked(message, mark) for message in prompt.messages)
    marked = replace(prompt, messages=messages, opened=tokens.marked(prompt.opened, mark))
    return text, tokens.encode(render(marked, model, tokenizer), mark)


def with_user_turn(conversation: Conversation) -> Conversation:
    """Return a conversation in which a mark stands for the user's turn that is to be written."""
    turn = Message(role="user", content=_USER_TURN)
    return replace(conversation, messages=(*conversation.messages, turn), as_user=False)


def before_user_turn(text: str, name: str) -> str:
    """Return the text before the mark of `with_user_turn`.

    Raises:
        ConfigError: nothing stands before it, so a model would not know that it writes as the user.
    """
    before, mark, _ = text.rpartition(_USER_TURN)
    if not mark or not before.strip():
        raise ConfigError(
            f"model {name!r}: its chat template writes nothing before a user's turn, so it cannot "
            "write one; use another --style, or another --model"
        )
    return before


def _conversation(conversation: Conversation, model: LocalModel, tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        raise ConfigError(f"model {model.name!r} has no chat template; use --prompting base")
    if conversation.as_user:
        whole = _conversation(with_user_turn(conversation), model, tokenizer)
        return before_user_turn(whole, model.name)
    return chat_template(tokenizer, model.name).text(
        conversation.messages, conversation.opened, thinking=conversation.thinking
    )
