"""How a task is put to a model that is trained on it: one encoding, for all that comes after.

A model without a chat template gets one that writes just this, so that the tokenizer's own
template and the raw text for its bare base model are the same characters. The template
`task.jinja`, by which `export` writes prompts, is the same as shipped.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.common.records import Message

_TASK, _ANSWER = "### Task\n", "\n\n### Answer\n"
# Where a model that does not know when to stop begins its next task.
STOP = ("\n### Task",)

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '\\n\\n' }}"
    "{% else %}"
    "{{ '### Task\\n' + message['content'] + '\\n\\n### Answer\\n' }}"
    "{% endif %}"
    "{% endfor %}"
)


def user_text(instruction: str, input: str) -> str:
    """Return what a user would write: the instruction, then the input after a blank line."""
    return f"{instruction}\n\n{input}" if input else instruction


def unframed(prompt: str) -> str:
    """Return what a user wrote of a prompt in canonical text, or the prompt if it is not."""
    if prompt.startswith(_TASK) and prompt.endswith(_ANSWER):
        return prompt[len(_TASK) : -len(_ANSWER)]
    return prompt


def canonical_text(messages: Sequence[Message]) -> str:
    """Return a conversation as raw text, ready for its next answer, without BOS.

    Answers that stand in it (few-shot) end with a blank line; there is no end of a turn in
    raw text.
    """
    parts = [
        f"{message['content']}\n\n"
        if message["role"] == "assistant"
        else f"{_TASK}{message['content']}{_ANSWER}"
        for message in messages
    ]
    return "".join(parts)
