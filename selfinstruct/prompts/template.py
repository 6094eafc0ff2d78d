"""A conversation, and the end of an answer, in a tokenizer's own chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message
from selfinstruct.prompts.chat_template import chat_template


def prompt_text(messages: Sequence[Mapping[str, str]], tokenizer: Any) -> str:
    """Return a conversation in the chat template, ready for the next answer."""
    # As the engine does: thinking is off in templates of models that can think.
    turns = [Message(role=message["role"], content=message["content"]) for message in messages]
    return chat_template(tokenizer).text(turns)


def end_of_answer(tokenizer: Any) -> str:
    """Return the text that ends an answer in the chat template.

    Raises:
        ConfigError: it is not the end-of-sequence token.
    """
    messages = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "ANSWER"}]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    _, _, after = text.rpartition("ANSWER")
    end = str(tokenizer.eos_token)
    if not after.strip().startswith(end):
        raise ConfigError(
            f"the chat template ends an answer with {after[:40]!r}, and the tokenizer's "
            f"end-of-sequence token is {end!r}: a model trained like this would not stop; set "
            "eos_token in tokenizer_config.json to the token that ends an answer"
        )
    return end
