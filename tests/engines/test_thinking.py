"""Thinking is kept apart from the answer, also where it was cut off."""

from __future__ import annotations

import pytest

from selfinstruct.engines.thinking import split_thinking


@pytest.mark.parametrize(
    ("text", "opened", "thinking", "answer"),
    [
        ("Oslo.", False, None, "Oslo."),
        ("<think>Norway.</think>\n\nOslo.", False, "Norway.", "\n\nOslo."),
        ("Norway.</think>Oslo.", True, "Norway.", "Oslo."),
        # Without the end mark there is no answer, only thinking that was cut off.
        ("<think>Norway is a", False, "Norway is a", ""),
        ("\n<think>Norway", False, "Norway", ""),
        ("Norway is a", True, "Norway is a", ""),
        # A template may open the thinking without the model repeating the mark.
        ("Norway.</think>Oslo.", False, "Norway.", "Oslo."),
        ("Use the <think> tag.", False, None, "Use the <think> tag."),
    ],
)
def test_split_thinking(text: str, opened: bool, thinking: str | None, answer: str) -> None:
    found, rest, start = split_thinking(text, opened=opened)
    assert (found, rest) == (thinking, answer)
    assert text[start:] == answer
