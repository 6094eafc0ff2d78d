"""Separate the thinking part of a completion from its answer."""

from __future__ import annotations

_THINK_START, _THINK_END = "<think>", "</think>"


def opens_thinking(prompt: str) -> bool:
    """Whether a rendered prompt already ends within the thinking part."""
    return prompt.rstrip().endswith(_THINK_START)


def split_thinking(text: str, *, opened: bool) -> tuple[str | None, str, int]:
    """Return (thinking, answer, characters before the answer).

    Args:
        text: what the model wrote.
        opened: whether the prompt already ends within the thinking part.

    If thinking was cut off, the whole text is thinking and the answer is empty.
    """
    before, mark, after = text.partition(_THINK_END)
    thinks = opened or before.lstrip().startswith(_THINK_START)
    if not mark:
        return (_thought(text), "", len(text)) if thinks else (None, text, 0)
    return _thought(before), after, len(before) + len(mark)


def _thought(text: str) -> str:
    return text.replace(_THINK_START, "").strip()
