"""Thinking is kept apart from the answer, also where it was cut off."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.records import Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.engines.thinking import (
    ANSWERS,
    CHANNELS,
    MARKS,
    Written,
    apart,
    opens_thinking,
    split_thinking,
)

PIECES = [*sorted(MARKS), "analysis", "assistantfinal", "final", "Oslo", " ", "\n"]


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


@pytest.mark.parametrize(
    ("opens", "closes"),
    [(channel.opens, channel.closes) for channel in CHANNELS],
)
def test_every_channel(opens: str, closes: str) -> None:
    assert split_thinking(f"{opens}\nNorway.\n{closes}\n\nOslo.", opened=False)[:2] == (
        *("Norway.", "\n\nOslo."),
    )
    assert split_thinking(f"{opens}a{closes}\n{opens}b{closes}Oslo.", opened=False)[:2] == (
        *("a\nb", "Oslo."),
    )
    assert split_thinking(f"Norway.{closes}Oslo.", opened=True)[:2] == ("Norway.", "Oslo.")
    assert split_thinking(f"{opens}Norway is", opened=False)[:2] == ("Norway is", "")
    assert split_thinking(f"{opens}a{closes}{opens}b", opened=False)[:2] == ("ab", "")
    assert opens_thinking(f"<user>Where?<assistant>{opens}\n")
    assert not opens_thinking(f"<user>Where?<assistant>{opens}{closes}\n")


@pytest.mark.parametrize(
    "text",
    [
        "Use <think> and </think> around it.",
        "<p>A tag.</p></reasoning>",
        "The </thinking> tag closes it.",
        "analysis of the data",
        "Answer: <answer>Oslo</answer>",
        "<answer>Oslo</answer>",
    ],
)
def test_a_text_that_speaks_of_the_marks_is_an_answer(text: str) -> None:
    assert split_thinking(text, opened=False) == (None, text, 0)


@pytest.mark.parametrize(("opens", "closes"), ANSWERS)
@pytest.mark.parametrize("end", ["", "\n"])
def test_marks_around_the_answer_are_none_of_it(opens: str, closes: str, end: str) -> None:
    text = f"<think>Norway.</think>\n{opens}Oslo.{closes}{end}"
    thinking, answer, start = split_thinking(text, opened=False)
    assert (thinking, answer) == ("Norway.", "Oslo.")
    assert text[start:].startswith("Oslo.")
    assert split_thinking(f"<think>a</think>{opens}Os", opened=False)[1] == "Os"


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        (
            "<|channel|>analysis<|message|>Norway.<|end|><|start|>assistant"
            "<|channel|>final<|message|>Oslo.<|return|>",
            *("Norway.", "Oslo."),
        ),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary"
            "<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>Oslo.",
            *("a\nb", "Oslo."),
        ),
        ("<|channel|>final<|message|>Oslo.<|return|>", "", "Oslo."),
        ("<|channel|>analysis<|message|>Norway is", "Norway is", ""),
        # Decoding leaves out special tokens.
        ("analysisNorway.assistantfinalOslo.", "Norway.", "Oslo."),
    ],
)
def test_messages_of_the_harmony_format(text: str, thinking: str, answer: str) -> None:
    assert split_thinking(text, opened=False)[:2] == (thinking, answer)


def test_special_tokens_tell_where_thinking_is() -> None:
    """As of a tokenizer whose marks are special: the decoded text has none of them."""
    text = "Norway.Oslo."
    written = Written(text, [0, 0, 7, 7, 12], [0, 7, 7, 12, 12])
    marks = [(0, "[THINK]"), (7, "[/THINK]")]
    thinking, answer = apart(written, marks, opened=False)
    assert thinking == "Norway."
    assert answer == Written("Oslo.", [0, 0, 0, 0, 5], [0, 0, 0, 5, 5])
    assert apart(written, opened=False) == (None, written)


def test_special_tokens_of_the_harmony_format() -> None:
    text = "analysisNorway.assistantfinalOslo."
    marks = [
        *((0, "<|channel|>"), (8, "<|message|>"), (15, "<|end|>"), (15, "<|start|>")),
        *((24, "<|channel|>"), (29, "<|message|>"), (34, "<|return|>")),
    ]
    written = Written(text, [29, 34], [34, 34])
    assert apart(written, marks, opened=False) == ("Norway.", Written("Oslo.", [0, 5], [5, 5]))
    # An ordinary end of a turn says nothing.
    plain = Written("Oslo.", [0, 5], [5, 5])
    assert apart(plain, [(5, "<|end|>")], opened=False) == (None, plain)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join))
def test_the_answer_is_the_end_of_the_text(text: str) -> None:
    for opened in (True, False):
        thinking, answer, start = split_thinking(text, opened=opened)
        assert text[start : start + len(answer)] == answer
        assert thinking is not None or (answer, start) == (text, 0)


@pytest.mark.parametrize("mark", sorted(MARKS))
def test_marks_without_end_take_no_longer_than_their_length(mark: str) -> None:
    start = time.perf_counter()
    for opened in (True, False):
        split_thinking(mark * 20_000, opened=opened)
    assert time.perf_counter() - start < 10


def test_the_scripted_engine_keeps_thinking_apart() -> None:
    engine = ScriptedEngine(lambda request: "<think>It is Norway.</think>\n\nOslo it is.")
    request = Request(
        "a-answer", "a", Stage.ANSWER, Reading(Form.WHOLE), "Where?", SamplingConfig()
    )
    engine.submit([request])
    [completion] = engine.collect()
    assert (completion.thinking, completion.text) == ("It is Norway.", "\n\nOslo it is.")
    words = [
        completion.text[start:end]
        for start, end in zip(completion.token_starts, completion.token_ends, strict=True)
    ]
    assert "".join(words) == completion.text
    assert len(words) == len(completion.token_ids)
