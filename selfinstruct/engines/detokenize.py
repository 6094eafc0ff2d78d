"""The characters of a completion that each token wrote."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids that a `tokenizers.Tokenizer` omits from decoded text."""
    added = tokenizer.get_added_tokens_decoder()
    return frozenset(number for number, token in added.items() if token.special)


def special_tokens(tokenizer: Any, texts: Collection[str]) -> dict[int, str]:
    """Return those of a tokenizer's special tokens that have one of these texts, by id."""
    added = tokenizer.get_added_tokens_decoder()
    return {
        number: token.content
        for number, token in added.items()
        if token.special and token.content in texts
    }


def token_spans(
    tokenizer: Any,
    special: frozenset[int],
    prompt_ids: Sequence[int],
    token_ids: Sequence[int],
) -> tuple[str, list[int], list[int]]:
    """Decode tokens one by one and return (text, starts, ends), in characters.

    Args:
        tokenizer: a `tokenizers.Tokenizer`.
        special: its `special_ids`.
        prompt_ids: the tokens before; a leading space may depend on them.
        token_ids: the tokens that were written.

    If several tokens share a character, each of them gets that character's range. tokenizers'
    `DecodeStream` returns None until a character is whole, and skips special tokens: those get an
    empty range.
    """
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(ids=list(prompt_ids), skip_special_tokens=True)
    text = ""
    starts: list[int] = []
    ends: list[int] = []
    open_from = 0  # first token whose characters are not decoded yet
    for position, token_id in enumerate(token_ids):
        piece = stream.step(tokenizer, token_id)
        starts.append(len(text))
        ends.append(len(text))
        if piece is None or piece == "":
            if token_id in special:
                open_from = position + 1
            continue
        end = len(text) + len(piece)
        for earlier in range(open_from, position + 1):
            ends[earlier] = end
        text += piece
        open_from = position + 1
    return text, starts, ends
