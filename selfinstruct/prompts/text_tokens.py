"""Text is text: control tokens that stand in somebody's data are encoded as plain characters.

A tokenizer reads `<|im_end|>` in a text as its control token, wherever it stands. In a rendered
conversation only the chat template may write control tokens. So the content is marked before it is
rendered, and what is marked is encoded as characters. A text without control tokens in its content
is encoded as the tokenizer itself encodes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, TypeVar

ContentT = TypeVar("ContentT")

# Characters of private use: none of them has a meaning in a text.
_PRIVATE = tuple(map(chr, range(0xF8F0, 0xF8FF)))


class TextTokens:
    """Encodes rendered conversations with a tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers, whose special tokens are set.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        special = {token.content: token for token in added.values() if token.special}
        names = {*special, *tokenizer.all_special_tokens}
        self._added: Mapping[str, Any] = special
        longest_first = sorted((name for name in names if name.strip()), key=len, reverse=True)
        any_token = "|".join(map(re.escape, longest_first)) or r"(?!)"
        self._control = re.compile(f"({any_token})")
        # Where a token or a space stands before it, the ending would start earlier.
        apart = "".join(f"(?<!{re.escape(name)})" for name in longest_first)
        self._ending = re.compile(
            rf"(?<!\s)(?=\s*(?:{any_token})){apart}(?:\s*(?:{any_token}))+\s*\Z"
        )

    def has_control(self, text: str) -> bool:
        """Whether a control token stands in a text."""
        return self._control.search(text) is not None

    def first_control(self, text: str) -> str | None:
        """Return the control token that a text starts with."""
        found = self._control.match(text)
        return found[0] if found else None

    def without_ending(self, answer: str) -> str:
        """Return an answer without the control tokens at its end, if something else is left."""
        found = self._ending.search(answer)
        kept = answer[: found.start()] if found else answer
        return kept if kept.strip() else answer

    def mark_of(self, content: Any) -> str:
        """Return a character to mark control tokens with; empty where there are none to mark."""
        texts = list(_texts(content))
        if not any(map(self.has_control, texts)):
            return ""
        return next(mark for mark in _PRIVATE if not any(mark in text for text in texts))

    def marked(self, content: ContentT, mark: str) -> ContentT:
        """Return a text, or turns, whose control tokens have a mark within."""
        if not mark:
            return content

        def with_mark(found: re.Match[str]) -> str:
            return f"{found[0][0]}{mark}{found[0][1:]}"

        changed: ContentT = _each_text(content, lambda text: self._control.sub(with_mark, text))
        return changed

    def encode(self, text: str, mark: str = "", *, after: str = "") -> list[int]:
        """Return the token ids of a text, in which only unmarked control tokens are such.

        Args:
            text: as rendered.
            mark: that of its content.
            after: a control token that stands before the text, and is not returned.
        """
        if not mark or mark not in text:
            if not after:
                return list(self._tokenizer.encode(text, add_special_tokens=False))
            return list(self._tokenizer.encode(after + text, add_special_tokens=False))[1:]
        parts = self._control.split(f"{after}{text}")
        ids: list[int] = []
        for place, part in enumerate(parts):
            if place % 2:
                ids.append(self._tokenizer.convert_tokens_to_ids(part))
            elif span := self._span(parts, place).replace(mark, ""):
                ids += self._characters(span, first=place == 0)
        return ids[1:] if after else ids

    def _span(self, parts: Sequence[str], place: int) -> str:
        """Return the text between two control tokens, without the space that these swallow."""
        span = parts[place]
        before = self._added.get(parts[place - 1]) if place else None
        behind = self._added.get(parts[place + 1]) if place + 1 < len(parts) else None
        if before is not None and before.rstrip:
            span = span.lstrip()
        return span.rstrip() if behind is not None and behind.lstrip else span

    def _characters(self, span: str, *, first: bool) -> list[int]:
        encode = self._tokenizer.encode
        how = {"add_special_tokens": False, "split_special_tokens": True}
        if first or not self._first_differs:
            return list(encode(span, **how))
        # The tokenizer puts a space before the first text alone, and this is not the first.
        head, whole = encode("\n", **how), encode(f"\n{span}", **how)
        return list(whole[len(head) :] if whole[: len(head)] == head else encode(span, **how))

    @cached_property
    def _first_differs(self) -> bool:
        """Whether the first text is encoded otherwise than one behind a control token."""
        end = self._tokenizer.eos_token
        if end is None:
            return False
        behind = self._tokenizer.encode(f"{end}a", add_special_tokens=False)[1:]
        return bool(behind != self._tokenizer.encode("a", add_special_tokens=False))


@lru_cache(maxsize=8)
def _text_tokens(tokenizer: Any, _special: tuple[str, ...]) -> TextTokens:
    return TextTokens(tokenizer)


def text_tokens(tokenizer: Any) -> TextTokens:
    """Return the encoder of a tokenizer, made once for it and its special tokens."""
    return _text_tokens(tokenizer, tuple(tokenizer.all_special_tokens))


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _texts(value)
    elif isinstance(content, Sequence):
        for value in content:
            yield from _texts(value)


def _each_text(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, Mapping):
        return {key: _each_text(value, change) for key, value in content.items()}
    if isinstance(content, Sequence):
        return [_each_text(value, change) for value in content]
    return content
