"""The characters of a completion that each token wrote."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
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


class TokenDecoder:
    """Decodes the tokens of a tokenizer one by one, as `token_spans` does.

    With a byte-level decoder (GPT-2's; Llama 3, Qwen and SmolLM have it too), a token is some bytes
    of UTF-8, whatever stands before it. Then nothing is asked of the tokenizer, and the prompt is
    not decoded. Text that is not whole, or has a U+FFFD of its own, takes the long way.

    Args:
        tokenizer: a `tokenizers.Tokenizer`.
    """

    def __init__(self, tokenizer: Any) -> None:
        from tokenizers.decoders import ByteLevel

        self._tokenizer = tokenizer
        self._special = special_ids(tokenizer)
        # The tokenizer leaves them out by their texts.
        added = tokenizer.get_added_tokens_decoder().values()
        self._left_out = frozenset(token.content for token in added if token.special)
        self._is_byte_level = isinstance(tokenizer.decoder, ByteLevel)
        self._bytes: dict[int, bytes] = {}

    def spans(
        self, prompt_ids: Sequence[int], token_ids: Sequence[int]
    ) -> tuple[str, list[int], list[int]]:
        """Return (text, starts, ends), in characters."""
        if self._is_byte_level and not self._is_cut(prompt_ids):
            pieces = list(map(self._bytes_of, token_ids))
            try:
                text = b"".join(pieces).decode()
            except UnicodeDecodeError:
                text = _BROKEN
            if _BROKEN not in text:
                return text, *self._spans(pieces, token_ids)
        return token_spans(self._tokenizer, self._special, prompt_ids, token_ids)

    def _spans(
        self, pieces: Sequence[bytes], token_ids: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """Return the characters of each token, by its bytes; all together they are whole."""
        starts: list[int] = []
        ends: list[int] = []
        written, waiting, open_from = 0, b"", 0
        for position, (piece, token) in enumerate(zip(pieces, token_ids, strict=True)):
            starts.append(written)
            ends.append(written)
            waiting += piece
            length = _whole_length(waiting)
            if length is None:
                if token in self._special:
                    open_from = position + 1
                continue
            written += length
            for earlier in range(open_from, position + 1):
                ends[earlier] = written
            waiting, open_from = b"", position + 1
        return starts, ends

    def _is_cut(self, prompt_ids: Sequence[int]) -> bool:
        """Whether a prompt ends within a character."""
        tail = b""
        for token in reversed(prompt_ids):
            tail = self._bytes_of(token) + tail
            if len(tail) >= _LONGEST_CHARACTER:
                break
        return tail.decode(errors="replace").endswith(_BROKEN)

    def _bytes_of(self, token_id: int) -> bytes:
        """Return the bytes that a token writes: none for a special one."""
        known = self._bytes.get(token_id)
        if known is None:
            token = self._tokenizer.id_to_token(token_id) or ""
            known = b"" if token in self._left_out else _bytes_of_token(token)
            self._bytes[token_id] = known
        return known


_BROKEN = "\ufffd"
_LONGEST_CHARACTER = 4  # bytes


def _whole_length(waiting: bytes) -> int | None:
    """Return the number of characters of some bytes; None if there is none, or one is not whole."""
    if waiting.isascii():
        return len(waiting) or None
    try:
        return len(waiting.decode())
    except UnicodeDecodeError:
        return None


def _bytes_of_token(token: str) -> bytes:
    """Return the bytes that a byte-level vocabulary writes as a token's characters."""
    bytes_of = _byte_of_character()
    if all(character in bytes_of for character in token):
        return bytes(bytes_of[character] for character in token)
    return token.encode()  # an added token, which is text


@cache
def _byte_of_character() -> dict[str, int]:
    """Return GPT-2's characters for bytes: Latin-1 that can be seen is itself, the rest follows."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    seen += range(ord("®"), ord("ÿ") + 1)
    others = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {
        chr(256 + place): byte for place, byte in enumerate(others)
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
