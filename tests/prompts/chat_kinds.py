"""Kinds of chat templates that models come with, in our own words, and what each is to give.

The texts were worked out by hand from the templates. `<s>` is the BOS of the tests' tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfinstruct.common.records import Message


@dataclass(frozen=True)
class Kind:
    """A chat template, and the text of each conversation in `SHAPES`."""

    template: str
    asked: str
    with_system: str
    worked: str
    opened: str
    opened_with_system: str


def turn(role: str, content: str) -> Message:
    return Message(role=role, content=content)


ASKED = [turn("user", "U")]
SYSTEM = [turn("system", "S"), turn("user", "U")]
WORKED = [*SYSTEM, turn("assistant", "A"), turn("user", "V")]
# Name of a field of `Kind`: turns, and the beginning of the model's turn.
SHAPES: dict[str, tuple[list[Message], str]] = {
    "asked": (ASKED, ""),
    "with_system": (SYSTEM, ""),
    "worked": (WORKED, ""),
    "opened": (ASKED, "1. A.\n2."),
    "opened_with_system": (SYSTEM, "1. A.\n2."),
}

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_ASSISTANT = "<|im_start|>assistant\n"
_U = "<|im_start|>user\nU<|im_end|>\n"
_S = "<|im_start|>system\nS<|im_end|>\n"
_A_V = "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n"

KINDS = {
    "chatml": Kind(
        _CHATML,
        asked=_U + _ASSISTANT,
        with_system=_S + _U + _ASSISTANT,
        worked=_S + _U + _A_V + _ASSISTANT,
        opened=_U + _ASSISTANT + "1. A.\n2.",
        opened_with_system=_S + _U + _ASSISTANT + "1. A.\n2.",
    ),
    "chatml with a system prompt of its own": Kind(
        "{% if messages[0].role != 'system' %}<|im_start|>system\nBe good.<|im_end|>\n{% endif %}"
        + _CHATML,
        asked="<|im_start|>system\nBe good.<|im_end|>\n" + _U + _ASSISTANT,
        with_system=_S + _U + _ASSISTANT,
        worked=_S + _U + _A_V + _ASSISTANT,
        opened="<|im_start|>system\nBe good.<|im_end|>\n" + _U + _ASSISTANT + "1. A.\n2.",
        opened_with_system=_S + _U + _ASSISTANT + "1. A.\n2.",
    ),
    # The day of the run's start is not known here; a fixed one lets a run repeat.
    "headers, BOS, trimmed content and a date, as Llama 3": Kind(
        "{{ bos_token }}{% set rest = messages %}"
        "<|start_header|>system<|end_header|>\n\nToday: {{ strftime_now('%d %b %Y') }}\n\n"
        "{% if messages[0].role == 'system' %}{{ messages[0].content | trim }}"
        "{% set rest = messages[1:] %}{% endif %}<|eot|>"
        "{% for m in rest %}<|start_header|>{{ m.role }}<|end_header|>\n\n"
        "{{ m.content | trim }}<|eot|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header|>assistant<|end_header|>\n\n{% endif %}",
        asked="<s><|start_header|>system<|end_header|>\n\nToday: 01 Jan 2025\n\n<|eot|>"
        "<|start_header|>user<|end_header|>\n\nU<|eot|>"
        "<|start_header|>assistant<|end_header|>\n\n",
        with_system="<s><|start_header|>system<|end_header|>\n\nToday: 01 Jan 2025\n\nS<|eot|>"
        "<|start_header|>user<|end_header|>\n\nU<|eot|>"
        "<|start_header|>assistant<|end_header|>\n\n",
        worked="<s><|start_header|>system<|end_header|>\n\nToday: 01 Jan 2025\n\nS<|eot|>"
        "<|start_header|>user<|end_header|>\n\nU<|eot|>"
        "<|start_header|>assistant<|end_header|>\n\nA<|eot|>"
        "<|start_header|>user<|end_header|>\n\nV<|eot|>"
        "<|start_header|>assistant<|end_header|>\n\n",
        opened="<s><|start_header|>system<|end_header|>\n\nToday: 01 Jan 2025\n\n<|eot|>"
        "<|start_header|>user<|end_header|>\n\nU<|eot|>"
        "<|start_header|>assistant<|end_header|>\n\n1. A.\n2.",
        opened_with_system="<s><|start_header|>system<|end_header|>\n\n"
        "Today: 01 Jan 2025\n\nS<|eot|>"
        "<|start_header|>user<|end_header|>\n\nU<|eot|>"
        "<|start_header|>assistant<|end_header|>\n\n1. A.\n2.",
    ),
    "no system role, turns alternate, as Gemma": Kind(
        "{{ bos_token }}{% if messages[0].role == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Roles must alternate') }}{% endif %}"
        "<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}</turn>\n"
        "{% endfor %}{% if add_generation_prompt %}<turn>model\n{% endif %}",
        asked="<s><turn>user\nU</turn>\n<turn>model\n",
        with_system="<s><turn>user\nS\n\nU</turn>\n<turn>model\n",
        worked="<s><turn>user\nS\n\nU</turn>\n<turn>model\nA</turn>\n<turn>user\nV</turn>\n"
        "<turn>model\n",
        opened="<s><turn>user\nU</turn>\n<turn>model\n1. A.\n2.",
        opened_with_system="<s><turn>user\nS\n\nU</turn>\n<turn>model\n1. A.\n2.",
    ),
    # It writes a space before an answer, and no start of one.
    "no system role, a space before answers, as Mistral": Kind(
        "{{ bos_token }}{% for m in messages %}"
        "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}"
        "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}",
        asked="<s>[INST] U [/INST]",
        with_system="<s>[INST] S\n\nU [/INST]",
        worked="<s>[INST] S\n\nU [/INST] A</s>[INST] V [/INST]",
        opened="<s>[INST] U [/INST] 1. A.\n2.",
        opened_with_system="<s>[INST] S\n\nU [/INST] 1. A.\n2.",
    ),
    "one line a role, as Phi": Kind(
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% else %}<|endoftext|>{% endif %}",
        asked="<|user|>\nU<|end|>\n<|assistant|>\n",
        with_system="<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\n",
        worked="<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n"
        "<|user|>\nV<|end|>\n<|assistant|>\n",
        opened="<|user|>\nU<|end|>\n<|assistant|>\n1. A.\n2.",
        opened_with_system="<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\n1. A.\n2.",
    ),
    "thinking by a variable, as Qwen 3": Kind(
        _CHATML[: -len("{% endif %}")]
        + "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}",
        asked=_U + _ASSISTANT + "<think>\n\n</think>\n\n",
        with_system=_S + _U + _ASSISTANT + "<think>\n\n</think>\n\n",
        worked=_S + _U + _A_V + _ASSISTANT + "<think>\n\n</think>\n\n",
        opened=_U + _ASSISTANT + "<think>\n\n</think>\n\n1. A.\n2.",
        opened_with_system=_S + _U + _ASSISTANT + "<think>\n\n</think>\n\n1. A.\n2.",
    ),
    "thinking by a variable of another name, as Granite": Kind(
        _CHATML[: -len("{% endif %}")] + "{% if thinking %}<think>{% endif %}{% endif %}",
        asked=_U + _ASSISTANT,
        with_system=_S + _U + _ASSISTANT,
        worked=_S + _U + _A_V + _ASSISTANT,
        opened=_U + _ASSISTANT + "1. A.\n2.",
        opened_with_system=_S + _U + _ASSISTANT + "1. A.\n2.",
    ),
    # The template takes the keyword out again.
    "thinking by a keyword in the system text": Kind(
        "{% set quiet = messages[0].role == 'system' and '/no_think' in messages[0].content %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.content.replace('/no_think', '') | trim }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{{ '<think></think>' if quiet else '<think>' }}{% endif %}",
        asked="<|im_start|>system\n<|im_end|>\n" + _U + _ASSISTANT + "<think></think>",
        with_system=_S + _U + _ASSISTANT + "<think></think>",
        worked=_S + _U + _A_V + _ASSISTANT + "<think></think>",
        opened="<|im_start|>system\n<|im_end|>\n" + _U + _ASSISTANT + "<think></think>1. A.\n2.",
        opened_with_system=_S + _U + _ASSISTANT + "<think></think>1. A.\n2.",
    ),
    # Thinking cannot be switched off: an opened turn closes it.
    "thinking always": Kind(
        _CHATML[: -len("{% endif %}")] + "<think>\n{% endif %}",
        asked=_U + _ASSISTANT + "<think>\n",
        with_system=_S + _U + _ASSISTANT + "<think>\n",
        worked=_S + _U + _A_V + _ASSISTANT + "<think>\n",
        opened=_U + _ASSISTANT + "<think>\n\n</think>\n\n1. A.\n2.",
        opened_with_system=_S + _U + _ASSISTANT + "<think>\n\n</think>\n\n1. A.\n2.",
    ),
    "channels": Kind(
        "{% for m in messages %}<|start|>{{ m.role }}"
        "{% if m.role == 'assistant' %}<|channel|>final{% endif %}"
        "<|message|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        asked="<|start|>user<|message|>U<|end|><|start|>assistant",
        with_system="<|start|>system<|message|>S<|end|><|start|>user<|message|>U<|end|>"
        "<|start|>assistant",
        worked="<|start|>system<|message|>S<|end|><|start|>user<|message|>U<|end|>"
        "<|start|>assistant<|channel|>final<|message|>A<|end|>"
        "<|start|>user<|message|>V<|end|><|start|>assistant",
        opened="<|start|>user<|message|>U<|end|>"
        "<|start|>assistant<|channel|>final<|message|>1. A.\n2.",
        opened_with_system="<|start|>system<|message|>S<|end|><|start|>user<|message|>U<|end|>"
        "<|start|>assistant<|channel|>final<|message|>1. A.\n2.",
    ),
    "drops the system text without a word, strips and joins by lines": Kind(
        "{% for m in messages if m.role != 'system' %}{{ m.role | upper }}: {{ m.content.strip() }}"
        "\n\n{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}",
        asked="USER: U\n\nASSISTANT:",
        with_system="USER: S\n\nU\n\nASSISTANT:",
        worked="USER: S\n\nU\n\nASSISTANT: A\n\nUSER: V\n\nASSISTANT:",
        opened="USER: U\n\nASSISTANT: 1. A.\n2.",
        opened_with_system="USER: S\n\nU\n\nASSISTANT: 1. A.\n2.",
    ),
    "a section for tools": Kind(
        "{% if tools is not none and tools %}<tools>{{ tools | tojson }}</tools>{% endif %}"
        + _CHATML,
        asked=_U + _ASSISTANT,
        with_system=_S + _U + _ASSISTANT,
        worked=_S + _U + _A_V + _ASSISTANT,
        opened=_U + _ASSISTANT + "1. A.\n2.",
        opened_with_system=_S + _U + _ASSISTANT + "1. A.\n2.",
    ),
}


def tokenizer(template: str | None) -> Any:
    """Return a tokenizer that adds a BOS by itself, as many do, with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, "<unk>": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", chat_template=template
    )
