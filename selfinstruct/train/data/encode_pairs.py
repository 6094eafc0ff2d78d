"""Preferences as tokens: a prompt, a better answer and a worse one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.preferences.pairs import LEAST_PAIRS
from selfinstruct.prompts.template import end_of_answer, prompt_text
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.data.preference_rows import PreferenceRow, PreferenceSplit, Unusable
from selfinstruct.train.recipe import Examples


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
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))


def encoded_split(split: PreferenceSplit, tokenizer: Any, max_length: int) -> Examples:
    """Return pairs as tokens; give the tokenizer what it lacks first.

    Raises:
        ConfigError: too few pairs are short enough, or nothing could learn to stop.
    """
    prepare_tokenizer(tokenizer)
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
        tokenizer: with a chat template (`encode.prepare_tokenizer` gives one).
        max_length: a pair with a longer side is left out, never cut.
        dropped: counts the pairs that are left out.

    Raises:
        ConfigError: the template does not end an answer with the end-of-sequence token.
    """
    end = end_of_answer(tokenizer)
    pairs = []
    for row in rows:
        messages = [{"role": role, "content": text} for role, text in row.messages]
        prompt, chosen, rejected = (
            tokenizer.encode(text, add_special_tokens=False)
            for text in (
                prompt_text(messages, tokenizer),
                f"{row.chosen}{end}",
                f"{row.rejected}{end}",
            )
        )
        pair = EncodedPair(row.id, prompt, chosen, rejected, row.weight)
        if pair.longest > max_length:
            dropped[str(Unusable.TOO_LONG)] += 1
        else:
            pairs.append(pair)
    return pairs
