"""The text form of a task for a model without a chat template: one encoding for every use.

Training gives such a model a chat template that writes exactly this text. So the tokenizer's own
template and the raw text for the bare base model are the same characters. The shipped `task.jinja`,
which `export` uses for prompts, writes the same text.
"""

from __future__ import annotations

from collections.abc import Sequence

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message

_TASK, _ANSWER = "### Task\n", "### Answer\n"
# A model that does not know when to stop begins its next task here.
STOP = ("\n### Task",)

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' and not message['tool_calls'] %}"
    "{{ '### Answer\\n' }}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '\\n\\n' }}"
    "{% elif message['role'] == 'system' %}"
    "{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}"
    "{{ '### Task\\n' + message['content'] + '\\n\\n' }}"
    "{% else %}"
    "{{ raise_exception('it has no tools') }}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Answer\\n' }}{% endif %}"
)

# What models were given before. It has no turns of its own for a system prompt, and writes the
# same text for tasks and answers.
OLDER_TEMPLATES = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '\\n\\n' }}"
    "{% else %}"
    "{{ '### Task\\n' + message['content'] + '\\n\\n### Answer\\n' }}"
    "{% endif %}"
    "{% endfor %}",
)


def user_text(instruction: str, input: str) -> str:
    """Return a task as a user writes it: the instruction, then the input after a blank line."""
    return f"{instruction}\n\n{input}" if input else instruction


def unframed(prompt: str) -> tuple[Message, ...]:
    """Return the turns of a canonical prompt of one task; any other prompt as one of the user.

    The text before the task is its system prompt.
    """
    end = f"\n\n{_ANSWER}"
    system, mark, user = prompt.partition(_TASK)
    is_framed = mark and user.endswith(end) and (not system or system.endswith("\n\n"))
    if not is_framed:
        return (Message(role="user", content=prompt),)
    asked = Message(role="user", content=user.removesuffix(end))
    if not system:
        return (asked,)
    return Message(role="system", content=system.removesuffix("\n\n")), asked


def canonical_text(messages: Sequence[Message]) -> str:
    """Return a conversation as raw text, ready for its next answer, without BOS.

    A system prompt stands before the first task. Answers in it (few-shot) end with a blank line,
    since raw text has no end of a turn.

    Raises:
        ConfigError: it has turns of tools.
    """
    return "".join([*map(_turn_text, messages), _ANSWER])


def _turn_text(message: Message) -> str:
    role, content = message["role"], message["content"]
    if role == "system":
        return f"{content}\n\n"
    if role == "user":
        return f"{_TASK}{content}\n\n"
    if role == "assistant" and not message.get("tool_calls"):
        return f"{_ANSWER}{content}\n\n"
    raise ConfigError(
        f"a turn of the role {role} with tools: a model without a chat template has no form for "
        "it; use a model that was made for tools"
    )
