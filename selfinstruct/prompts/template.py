"""What a tokenizer's own chat template makes of a conversation, and of the end of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selfinstruct.common.errors import ConfigError


def prompt_text(messages: Sequence[Mapping[str, str]], tokenizer: Any) -> str:
    """Return a conversation in the chat template, ready for the next answer."""
    # As the engine asks: templates of models that can think are told not to.
    return str(
        tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    )


def end_of_answer(tokenizer: Any) -> str:
    """Return what ends an answer in the chat template.

    Raises:
        ConfigError: the template ends it with something else than the end-of-sequence token.
    """
    messages = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "ANSWER"}]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    _, _, after = text.rpartition("ANSWER")
    end = str(tokenizer.eos_token)
    if not after.strip().startswith(end):
        raise ConfigError(
            f"the chat template ends an answer with {after[:40]!r}, and the tokenizer's "
            f"end-of-sequence token is {end!r}: a model trained so would not stop; set eos_token "
            "in tokenizer_config.json to the token that ends an answer"
        )
    return end
