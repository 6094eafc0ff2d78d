"""Chat templates and control tokens as families of models have them, in our own words.

`ends` is the token that ends an answer, worked out by hand from the template. `eos` is the
tokenizer's own end-of-sequence token, which for many base models is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Convention:
    """A template, the control tokens, and the token that ends an answer.

    rewrites: whether the template writes earlier turns otherwise once others follow.
    """

    template: str | None
    bos: str
    eos: str
    ends: str
    control: Sequence[str] = ()
    rewrites: bool = False
    takes_tools: bool = False


_CHATML_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_QWEN = (
    "{% if tools %}<|im_start|>system\n<tools>{% for tool in tools %}\n{{ tool | tojson }}"
    "{% endfor %}\n</tools><|im_end|>\n{% endif %}"
    "{% if messages[0].role != 'system' %}<|im_start|>system\nBe good.<|im_end|>\n{% endif %}"
    "{% for m in messages %}"
    "{% if m.role == 'assistant' and m.tool_calls %}<|im_start|>assistant\n{{ m.content }}"
    "{% for call in m.tool_calls %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}'
    "\n</tool_call>{% endfor %}<|im_end|>\n"
    "{% elif m.role == 'tool' %}<|im_start|>user\n<tool_response>\n{{ m.content }}\n"
    "</tool_response><|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# What was thought is written for the last answer alone.
_QWEN_3 = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}"
    "{% set answer = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\n')"
    " if '</think>' in m.content else '' %}"
    "{% if loop.last %}<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ answer }}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)
_LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_LLAMA_3_TOKENS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_LLAMA_2 = (
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}"
    "{% set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}"
    "{% for m in rest %}{% if m.role == 'user' %}"
    "{{ bos_token }}[INST] {{ system if loop.first else '' }}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
_GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_GEMMA_3 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}"
    "{% set first = messages[0].content + '\n\n' %}{% set rest = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ first if loop.first else '' }}{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_GEMMA_TOKENS = ("<start_of_turn>", "<end_of_turn>")
_MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
_PHI = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
_PHI_TOKENS = ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>")

CONVENTIONS = {
    "Llama 2": Convention(_LLAMA_2, "<s>", "</s>", "</s>"),
    "Llama 3, base": Convention(
        _LLAMA_3, "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", _LLAMA_3_TOKENS
    ),
    "Llama 3, instruct": Convention(
        _LLAMA_3, "<|begin_of_text|>", "<|eot_id|>", "<|eot_id|>", _LLAMA_3_TOKENS
    ),
    "Qwen 2.5, base": Convention(
        _QWEN, "<|endoftext|>", "<|endoftext|>", "<|im_end|>", _CHATML_TOKENS, takes_tools=True
    ),
    "Qwen 2.5, instruct": Convention(
        _QWEN, "<|endoftext|>", "<|im_end|>", "<|im_end|>", _CHATML_TOKENS, takes_tools=True
    ),
    "Qwen 3": Convention(
        _QWEN_3, "<|endoftext|>", "<|im_end|>", "<|im_end|>", _CHATML_TOKENS, rewrites=True
    ),
    "Gemma 2": Convention(_GEMMA, "<bos>", "<eos>", "<end_of_turn>", _GEMMA_TOKENS),
    "Gemma 3": Convention(_GEMMA_3, "<bos>", "<eos>", "<end_of_turn>", _GEMMA_TOKENS),
    "Mistral": Convention(_MISTRAL, "<s>", "</s>", "</s>"),
    "Phi": Convention(_PHI, "<s>", "<|endoftext|>", "<|end|>", _PHI_TOKENS),
    "SmolLM": Convention(_CHATML, "<|im_start|>", "<|im_end|>", "<|im_end|>", _CHATML_TOKENS),
    "ChatML on a base": Convention(
        _CHATML, "<|endoftext|>", "<|endoftext|>", "<|im_end|>", _CHATML_TOKENS
    ),
    "no template": Convention(None, "<s>", "<|endoftext|>", "<|endoftext|>"),
}
