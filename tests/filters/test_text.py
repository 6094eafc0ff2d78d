"""Properties of texts: each with texts that have it and texts that only look like it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfinstruct.filters.text import (
    ends_unfinished,
    has_placeholder,
    is_chatty,
    is_refusal,
    looks_like_code,
    repetition,
    script_share,
    word_count,
)


@pytest.mark.parametrize(
    "text",
    [
        "Dear [name],",
        "Dear [Your Name], thank you",
        "Dear [recipient's name],",
        "[Insert date here]",
        "<none>",
        "<your answer>",
        "The cat ____ on the mat",
        "Hello {{user}}!",
        "Call XXXX now",
        "Lorem ipsum dolor",
    ],
)
def test_placeholders(text: str) -> None:
    assert has_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 3]",
        "<b>bold</b>",
        "if a < b and b > c",
        "snake_case and __init__",
        "{'a': 1}",
        "[sic]",
        "XX century",
        "<title>Home</title>",
        "return ages[name]",
        "XXX",
    ],
)
def test_brackets_that_are_no_placeholder(text: str) -> None:
    assert not has_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I have no opinion.",
        "I'm just a language model.",
        "I’m an AI.",
        "I am a virtual assistant.",
        "Sorry, that is too hard.",
        "I'm sorry, but no.",
        "I cannot help with that.",
        "Unfortunately I can’t access the internet.",
        "I am unable to provide it.",
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "The AI model was trained.",
        "I am an airline pilot.",
        "I cannot swim.",
        "They said they were sorry.",
        "You can help.",
        pytest.param(
            "I’m sorry for being late today.",
        ),
    ],
)
def test_texts_that_do_not_refuse(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "Sure! The answer is 4.",
        "Sure, here it is",
        "**Certainly!** It is",
        "Of course, I will.",
        "Here is a list of birds:",
        "Here are five ideas.",
        "Here’s your poem:",
        "I'd be happy to help.",
        "Great question!",
    ],
)
def test_chatty_openings(text: str) -> None:
    assert is_chatty(text)


@pytest.mark.parametrize(
    "text",
    ["Surely the sun rises.", "Here lies the king.", "Hello world", "It is sure, I think.", ""],
)
def test_openings_that_are_not_chatty(text: str) -> None:
    assert not is_chatty(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("a b c d e f g h i j k l", 0.0),
        ("a a a a a a a a a a a", 0.0),  # 11 words: too short to tell
        ("a a a a a a a a a a a a", 1 - 1 / 10),  # 10 trigrams, 1 of its own
        ("a b c a b c a b c a b c", 1 - 3 / 10),
        ("A b, C a! B c. a b c a b c", 1 - 3 / 10),
        ("a b c d e f g h i a b c", 1 - 9 / 10),
    ],
)
def test_repetition_is_the_share_of_trigrams_seen_before(text: str, share: float) -> None:
    assert repetition(text) == pytest.approx(share, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "B", "c", "7"]), max_size=60))
def test_repetition_is_a_share(words: list[str]) -> None:
    once = repetition(" ".join(words))
    assert 0 <= once < 1
    assert once == repetition(", ".join(words).upper())


@pytest.mark.parametrize(
    ("text", "script", "share"),
    [
        ("Hello, wörld 42!", "LATIN", 1.0),
        ("Привет", "CYRILLIC", 1.0),
        ("Привет", "LATIN", 0.0),
        ("漢字ab", "CJK", 0.5),
        ("abc д", "LATIN", 0.75),
        ("1 + 1 = 2", "LATIN", 1.0),
        ("", "LATIN", 1.0),
    ],
)
def test_script_share(text: str, script: str, share: float) -> None:
    assert script_share(text, script) == share


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def f(x):\n    return x", True),
        ("import os", True),
        ("```\nx\n```", True),
        ("SELECT name FROM birds", True),
        ("int x = 1;", True),
        ("<p>Hello</p>", True),
        ("A bird in the hand.", False),
        ("We import tea from India.", False),
        ("", False),
    ],
)
def test_looks_like_code(text: str, code: bool) -> None:
    assert looks_like_code(text) is code


@pytest.mark.parametrize(
    "text",
    [
        "Pears, apples,",
        "He went home -",
        "A list (",
        "We went out. And then the cat",
        "One line here\nTwo. Then three more words",
        pytest.param(
            "The cat sat on the",
        ),
    ],
)
def test_texts_that_end_unfinished(text: str) -> None:
    assert ends_unfinished(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "42",
        "The Long Way Home",
        "It rained. We stayed in.",
        "It rained. “We stayed in.”",
        "它下雨了。",
        "First. Second",
        "Some birds. Here:\n- wren\n- great blue heron",
        "1. Pay the bill. Then go\n2. Walk the long way home",
        "x = 1. Then;\nfor (;;) { y = 2. \n    return y + x + z",
        "Ends with spaces.   \n",
        pytest.param(
            "O-",
        ),
    ],
)
def test_texts_that_are_finished(text: str) -> None:
    assert not ends_unfinished(text)


@pytest.mark.parametrize(("text", "count"), [("", 0), (" a  b\nc ", 3), ("well-known fact", 2)])
def test_words_are_what_whitespace_parts(text: str, count: int) -> None:
    assert word_count(text) == count
