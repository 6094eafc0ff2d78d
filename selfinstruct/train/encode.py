"""Training rows as tokens: the prompt, which is only read, and the answer, which is learnt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.prompts.canonical import CHAT_TEMPLATE
from selfinstruct.prompts.template import end_of_answer, prompt_text
from selfinstruct.train.rows import TrainRow

# Of a label that is not learnt (PyTorch's cross entropy ignores it).
IGNORED = -100

# Ways to put a task to a base model, beside the canonical one (the paper, §5.1: several
# templates, so that it does not learn one form only). {user} is the instruction and the input.
ENCODINGS = (
    "Task:\n{user}\n\nAnswer:\n",
    "{user}\n\nAnswer: ",
    "Question: {user}\nAnswer: ",
    "Instruction:\n{user}\n\nResponse:\n",
    "{user}\n\n",
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens of a row; `labels` are the answer's tokens and its end, IGNORED before."""

    id: str
    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class EncodedRows:
    """Rows as tokens, and the ids of those that are too long to be learnt whole."""

    rows: list[Encoded]
    too_long: list[str]

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(len(one.input_ids) for one in self.rows)

    def tokens(self) -> list[tuple[list[int], list[int]]]:
        """Return (input_ids, labels) of each row."""
        return [(one.input_ids, one.labels) for one in self.rows]


def prepare_tokenizer(tokenizer: Any) -> bool:
    """Give a tokenizer what training needs; return whether it got our chat template.

    Raises:
        ConfigError: it has no end-of-sequence token, so that nothing can learn to stop.
    """
    if tokenizer.eos_token is None:
        raise ConfigError(
            "the model's tokenizer has no end-of-sequence token, so that the model could not "
            "learn to stop; name one in its tokenizer_config.json"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.chat_template:
        return False
    tokenizer.chat_template = CHAT_TEMPLATE
    return True


def encode_rows(
    rows: Sequence[TrainRow],
    tokenizer: Any,
    *,
    max_length: int,
    diverse: bool,
    seed: int,
) -> EncodedRows:
    """Encode rows by the tokenizer's chat template, or half of them by other templates.

    Args:
        rows: what to learn.
        tokenizer: with a chat template, whose assistant turn ends with its end-of-sequence token.
        max_length: a row with more tokens is left out, never cut.
        diverse: draw one of several encodings for every other row (base models).
        seed: of the draw.

    Raises:
        ConfigError: the template does not end an answer with the token that ends a sequence.
    """
    rng = random.Random(seed)
    end = end_of_answer(tokenizer)
    encoded: list[Encoded] = []
    too_long: list[str] = []
    for row in rows:
        template = rng.choice(ENCODINGS) if diverse and rng.random() < 0.5 else None
        prompt = _prompt(row, tokenizer, template)
        answer = f"{row.answer}{end}"
        before = tokenizer.encode(prompt, add_special_tokens=False)
        learnt = tokenizer.encode(answer, add_special_tokens=False)
        if len(before) + len(learnt) > max_length:
            too_long.append(row.id)
            continue
        encoded.append(Encoded(row.id, before + learnt, [IGNORED] * len(before) + learnt))
    return EncodedRows(encoded, too_long)


def _prompt(row: TrainRow, tokenizer: Any, template: str | None) -> str:
    if template is not None:
        return f"{tokenizer.bos_token or ''}{template.format(user=row.user)}"
    return prompt_text([{"role": "user", "content": row.user}], tokenizer)


def dataset_of(rows: Sequence[Encoded]) -> Any:
    """Return rows as the trainer reads them."""
    from datasets import Dataset

    return Dataset.from_list([{"input_ids": one.input_ids, "labels": one.labels} for one in rows])
