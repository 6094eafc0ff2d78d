"""The text form of a task for a model without a chat template: one encoding for every use.

Training gives such a model a chat template that writes exactly this text. So the tokenizer's own
template and the raw text for the bare base model are the same characters. The shipped `task.jinja`,
which `export` uses for prompts, writes the same text.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.common.records import Message

_TASK, _ANSWER = "### Task\n", "\n\n### Answer\n"
# A model that does not know when to stop begins its next task here.
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
    """Return a task as a user writes it: the instruction, then the input after a blank line."""
    return f"{instruction}\n\n{input}" if input else instruction


def unframed(prompt: str) -> str:
    """Return the user's text in a canonical prompt; any other prompt as it is."""
    if prompt.startswith(_TASK) and prompt.endswith(_ANSWER):
        return prompt[len(_TASK) : -len(_ANSWER)]
    return prompt


def canonical_text(messages: Sequence[Message]) -> str:
    """Return a conversation as raw text, ready for its next answer, without BOS.

    Answers in it (few-shot) end with a blank line, since raw text has no end of a turn.
    """
    parts = [
        f"{message['content']}\n\n"
        if message["role"] == "assistant"
        else f"{_TASK}{message['content']}{_ANSWER}"
        for message in messages
    ]
    return "".join(parts)
