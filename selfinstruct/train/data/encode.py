"""Training rows as tokens: the model reads the prompt, and learns the answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.prompts.canonical import CHAT_TEMPLATE
from selfinstruct.prompts.template import end_of_answer, prompt_text
from selfinstruct.train.data.rows import TrainRow

# The label of a token that is not learnt (PyTorch's cross entropy ignores it).
IGNORED = -100

# Further encodings of a task for a base model, beside the canonical one, so that it does not
# learn a single form (Self-Instruct, §5.1). {user} is the instruction and the input.
ENCODINGS = (
    "Task:\n{user}\n\nAnswer:\n",
    "{user}\n\nAnswer: ",
    "Question: {user}\nAnswer: ",
    "Instruction:\n{user}\n\nResponse:\n",
    "{user}\n\n",
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens of a row. `labels` are IGNORED in the prompt, then the answer's tokens and its end."""

    id: str
    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class EncodedRows:
    """Rows as tokens, and the ids of rows that are too long."""

    rows: list[Encoded]
    too_long: list[str]

    def tokens(self) -> list[tuple[list[int], list[int]]]:
        """Return (input_ids, labels) of each row."""
        return [(row.input_ids, row.labels) for row in self.rows]


def prepare_tokenizer(tokenizer: Any) -> bool:
    """Give a tokenizer what training needs, and return whether it got our chat template.

    Raises:
        ConfigError: it has no end-of-sequence token, so the model could not learn to stop.
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
        tokenizer: has a chat template, whose assistant turn ends with its end-of-sequence token.
        max_length: longer rows are left out, never cut.
        diverse: draw one of several encodings for every other row (base models).
        seed: of the draw.

    Raises:
        ConfigError: the template does not end an answer with the end-of-sequence token.
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

    return Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in rows])
