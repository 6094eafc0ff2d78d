"""Training rows as tokens: the model reads the turns of others, and learns its own answers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import Message
from selfinstruct.prompts.canonical import CHAT_TEMPLATE, OLDER_TEMPLATES
from selfinstruct.prompts.chat_template import Tools
from selfinstruct.prompts.template import set_end_of_answer
from selfinstruct.prompts.text_tokens import TextTokens, text_tokens
from selfinstruct.train.data.pieces import Piece, conversation_pieces, piece_ids
from selfinstruct.train.data.turns import TrainRow

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
    """Tokens of a conversation. `labels` are the answers' tokens and ends, IGNORED elsewhere."""

    id: str
    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class EncodedRows:
    """Rows as tokens, the ids of rows that are too long, and how many rows are special.

    notes: how many rows there are of each `Note`.
    """

    rows: list[Encoded]
    too_long: list[str]
    notes: Counter[Note] = field(default_factory=Counter)

    def tokens(self) -> list[tuple[list[int], list[int]]]:
        """Return (input_ids, labels) of each row."""
        return [(row.input_ids, row.labels) for row in self.rows]


class Note(StrEnum):
    """What is done with a row that is not as most are."""

    ENDED = "answers end with a control token of the model, which is left out"
    AS_TEXT = "control tokens of the model stand in the text, and are learnt as plain characters"
    BY_TURN = (
        "each answer is learnt from a sequence of its own, since the chat template writes earlier "
        "turns otherwise once others follow"
    )

    @staticmethod
    def said(notes: Counter[Note]) -> list[str]:
        """Return a line for each note that there is."""
        counts = (+notes).items()
        return [f"{count} {'row' if count == 1 else 'rows'}: {note}" for note, count in counts]


def prepare_tokenizer(tokenizer: Any, eos_token: str | None = None) -> bool:
    """Give a tokenizer what training needs, and return whether it got our chat template.

    Its end-of-sequence token becomes the one that ends an answer in its chat template.

    Args:
        tokenizer: is changed.
        eos_token: the token that ends an answer, by the user's choice.

    Raises:
        ConfigError: there is no such token, so the model could not learn to stop.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    is_base = not tokenizer.chat_template
    if is_base or tokenizer.chat_template in OLDER_TEMPLATES:
        if eos_token is None and tokenizer.eos_token is None:
            raise ConfigError(
                "the model's tokenizer has no end-of-sequence token, so that the model could not "
                "learn to stop; name one with --eos-token"
            )
        tokenizer.chat_template = CHAT_TEMPLATE
    end = set_end_of_answer(tokenizer, eos_token)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = end
    return is_base


def encode_rows(
    rows: Sequence[TrainRow],
    tokenizer: Any,
    *,
    max_length: int,
    diverse: bool,
    seed: int,
    last_turn_only: bool = False,
) -> EncodedRows:
    """Encode rows by the tokenizer's chat template, or half of the tasks by other templates.

    Args:
        rows: what to learn.
        tokenizer: as `prepare_tokenizer` leaves it.
        max_length: longer rows are left out, never cut.
        diverse: draw one of several encodings for every other task (base models).
        seed: of the draw.
        last_turn_only: learn the last answer of a conversation alone.

    Raises:
        ConfigError: the template refuses a conversation. Names the row.
    """
    rng = random.Random(seed)
    tokens = text_tokens(tokenizer)
    found = EncodedRows([], [])
    for row in rows:
        template = rng.choice(ENCODINGS) if diverse and rng.random() < 0.5 else None
        messages, tools, mark = _plain(row, tokens, found.notes)
        if template is not None and row.is_task:
            user, answer = (message["content"] for message in messages)
            prompt = f"{tokenizer.bos_token or ''}{template.format(user=user)}"
            pieces = [[Piece(prompt, False), Piece(f"{answer}{tokenizer.eos_token}", True)]]
        else:
            with refused_row(row.id):
                pieces = conversation_pieces(
                    messages, tokenizer, last_turn_only=last_turn_only, tools=tools
                )
        found.notes[Note.BY_TURN] += len(pieces) > 1
        encode = partial(piece_ids, tokens=tokens, mark=mark, end=str(tokenizer.eos_token))
        encoded = [_labelled(row.id, encode(sequence)) for sequence in pieces]
        fitting = [sequence for sequence in encoded if len(sequence.input_ids) <= max_length]
        found.rows.extend(fitting)
        if len(fitting) < len(encoded):
            found.too_long.append(row.id)
    return found


@contextmanager
def refused_row(id: str) -> Iterator[None]:
    """Name the row whose conversation a chat template refuses."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"row {id}: {why(error)}") from error


def without_endings(messages: Sequence[Message], tokens: TextTokens) -> list[Message]:
    """Return the turns without control tokens at the end of answers."""
    return [
        {**message, "content": tokens.without_ending(message["content"])}
        if message["role"] == "assistant"
        else message
        for message in messages
    ]


def _plain(
    row: TrainRow, tokens: TextTokens, notes: Counter[Note]
) -> tuple[list[Message], Tools, str]:
    """Return turns and tools without control tokens, or with marked ones, and the mark."""
    messages, tools = row.messages, row.tools
    if not (mark := tokens.mark_of([messages, tools])):
        return list(messages), tools, ""
    kept = without_endings(messages, tokens)
    notes[Note.ENDED] += kept != list(messages)
    mark = tokens.mark_of([kept, tools])
    notes[Note.AS_TEXT] += bool(mark)
    return tokens.marked(kept, mark), tokens.marked(tools, mark), mark


def _labelled(id: str, pieces: Sequence[tuple[list[int], bool]]) -> Encoded:
    ids = [token for part, _ in pieces for token in part]
    labels = [token if learnt else IGNORED for part, learnt in pieces for token in part]
    return Encoded(id, ids, labels)


def dataset_of(rows: Sequence[Encoded]) -> Any:
    """Return rows as the trainer reads them."""
    from datasets import Dataset

    return Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in rows])
