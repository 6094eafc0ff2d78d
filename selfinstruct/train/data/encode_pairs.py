"""Preferences as tokens: a prompt, a better answer and a worse one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.engines.thinking import begins_with_thinking, continued_thinking
from selfinstruct.preferences.pairs import LEAST_PAIRS
from selfinstruct.prompts.template import prompt_text
from selfinstruct.prompts.text_tokens import text_tokens
from selfinstruct.train.data.encode import Note, prepare_tokenizer, refused_row
from selfinstruct.train.data.preference_rows import PreferenceRow, PreferenceSplit, Unusable
from selfinstruct.train.recipe import Examples

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """Tokens of a pair. The answers end with the end-of-sequence token."""

    id: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    weight: float

    @property
    def longest(self) -> int:
        """Tokens of the prompt with the longer of the answers."""
        return max(self.sequences())

    def sequences(self) -> tuple[int, int]:
        """Return the tokens of the prompt with either answer."""
        answers = self.chosen_ids, self.rejected_ids
        chosen, rejected = (len(self.prompt_ids) + len(answer) for answer in answers)
        return chosen, rejected


def encoded_split(
    split: PreferenceSplit, tokenizer: Any, max_length: int, eos_token: str | None = None
) -> Examples:
    """Return pairs as tokens; give the tokenizer what it lacks first (`prepare_tokenizer`).

    Raises:
        ConfigError: too few pairs are short enough, or nothing could learn to stop.
    """
    prepare_tokenizer(tokenizer, eos_token)
    dropped = Counter(split.dropped)
    encode = partial(encode_pairs, tokenizer=tokenizer, max_length=max_length, dropped=dropped)
    train, held = encode(split.train), encode(split.held_out)
    if len(train) < LEAST_PAIRS:
        raise ConfigError(
            f"{len(train)} of {len(split.train)} pairs have at most {max_length} tokens, and "
            f"{LEAST_PAIRS} are the least to train on; raise --max-length"
        )
    rows = {"training pairs": train, "held-out pairs": held}
    compared = {name: [asdict(pair) for pair in pairs] for name, pairs in rows.items()}
    return Examples(train, held, dict(sorted(dropped.items())), compared)


def encode_pairs(
    rows: Sequence[PreferenceRow], tokenizer: Any, *, max_length: int, dropped: Counter[str]
) -> list[EncodedPair]:
    """Encode pairs by the tokenizer's chat template, as fine-tuning and evaluation do.

    Args:
        rows: the pairs.
        tokenizer: as `encode.prepare_tokenizer` leaves it.
        max_length: a pair with a longer side is left out, never cut.
        dropped: counts the pairs that are left out.

    Raises:
        ConfigError: the template refuses a conversation. Names the pair.
    """
    pairs = []
    notes: Counter[Note] = Counter()
    for row in rows:
        with refused_row(row.id):
            pair = _encoded(row, tokenizer, notes)
        if pair.longest > max_length:
            dropped[str(Unusable.TOO_LONG)] += 1
        else:
            pairs.append(pair)
    for line in Note.said(notes):
        log.warning(line)
    return pairs


def _encoded(row: PreferenceRow, tokenizer: Any, notes: Counter[Note]) -> EncodedPair:
    tokens = text_tokens(tokenizer)
    answers = [row.chosen, row.rejected]
    if tokens.mark_of([row.messages, row.tools, answers]):
        answers = [tokens.without_ending(answer) for answer in answers]
        notes[Note.ENDED] += answers != [row.chosen, row.rejected]
    mark = tokens.mark_of([row.messages, row.tools, answers])
    notes[Note.AS_TEXT] += bool(mark)
    messages, answers = tokens.marked(list(row.messages), mark), tokens.marked(answers, mark)
    tools = tokens.marked(row.tools, mark)
    thinking = any(map(begins_with_thinking, answers))
    prompt = prompt_text(messages, tokenizer, thinking=thinking, tools=tools)
    chosen, rejected = (
        tokens.encode(f"{continued_thinking(prompt, answer)}{tokenizer.eos_token}", mark)
        for answer in answers
    )
    return EncodedPair(row.id, tokens.encode(prompt, mark), chosen, rejected, row.weight)
