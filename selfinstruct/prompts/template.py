"""A conversation, and the end of an answer, in a tokenizer's own chat template."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message
from selfinstruct.prompts.chat_template import Tools, chat_template
from selfinstruct.prompts.text_tokens import text_tokens

log = logging.getLogger(__name__)

_ANSWER = "ANSWER"


def prompt_text(
    messages: Sequence[Message], tokenizer: Any, *, thinking: bool = False, tools: Tools = ()
) -> str:
    """Return a conversation in the chat template, ready for the next answer.

    As the engine does, thinking is switched off where the template can do that, unless the next
    answer is to think.
    """
    return chat_template(tokenizer).text(messages, thinking=thinking, tools=tools)


def end_of_answer(tokenizer: Any) -> str:
    """Return the token that ends an answer in the chat template.

    This is the end-of-sequence token, where the template writes it. Otherwise it is the control
    token that the template writes there, such as `<|im_end|>`.

    Raises:
        ConfigError: the template ends an answer with no single token.
    """
    turns = [Message(role="user", content="u"), Message(role="assistant", content=_ANSWER)]
    _, _, behind = chat_template(tokenizer).finished(turns).rpartition(_ANSWER)
    end = tokenizer.eos_token
    if end and behind.strip().startswith(end):
        return str(end)
    first = text_tokens(tokenizer).first_control(behind.strip())
    if first is None:
        raise ConfigError(
            f"the chat template ends an answer with {behind[:40]!r}, and the tokenizer's "
            f"end-of-sequence token is {end!r}: a model trained like this would not stop; name "
            "the token that ends an answer with --eos-token"
        )
    return first


def further_ends(tokenizer: Any) -> list[int]:
    """Return the token that ends a turn in the chat template, if it is not the tokenizer's own end.

    Many base models have such a template. A model of them stops only where it is told this token.
    """
    if not tokenizer.chat_template:
        return []
    try:
        end = end_of_answer(tokenizer)
    except ConfigError:  # no single token ends a turn
        return []
    known = end == tokenizer.eos_token
    return [] if known else [int(tokenizer.convert_tokens_to_ids(end))]


def set_end_of_answer(tokenizer: Any, eos_token: str | None = None) -> str:
    """Make the token that ends an answer the tokenizer's end-of-sequence token; return it.

    Args:
        tokenizer: has a chat template.
        eos_token: the user's own choice; by default the token that the template writes.

    Raises:
        ConfigError: the choice is not a token of the vocabulary, or the template ends an answer
            with no single token.
    """
    if eos_token is not None and not _is_token(eos_token, tokenizer):
        raise ConfigError(
            f"--eos-token {eos_token!r}: is not a token of this model's tokenizer; give the one "
            "that ends an answer in its chat template"
        )
    end = end_of_answer(tokenizer) if eos_token is None else eos_token
    if end != tokenizer.eos_token:
        log.warning(
            "answers end with %r, as the %s; the tokenizer's end-of-sequence token was %r, and is "
            "set to it in what is saved",
            end,
            "chat template writes them" if eos_token is None else "option --eos-token says",
            tokenizer.eos_token,
        )
        tokenizer.eos_token = end
    return end


def _is_token(text: str, tokenizer: Any) -> bool:
    """Whether a text is encoded as a single token of its name."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    return len(ids) == 1 and bool(tokenizer.convert_tokens_to_ids(text) == ids[0])
