"""A word is what stands between spaces, or a character of a script without them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.length import count_words, first_words, has_spaceless
from selfinstruct.filters.rule import InstructionFacts, Of, first_failure
from selfinstruct.filters.rules import rules_in_force


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("What's 2 + 2?", 4),
        ("Viết về bố.", 3),
        ("写一首诗。", 4),
        ("用Python写一首诗", 6),
        ("用 Python 写诗， 谢谢 !", 7),  # noqa: RUF001
        ("เขียน", 4),
        ("こんにちは", 5),
        ("한국의 시", 2),
    ],
)
def test_words(text: str, count: int) -> None:
    assert count_words(text) == count


@given(st.text("aé ß\n\t.-'", max_size=40), st.integers(0, 9))
def test_with_spaces_the_papers_count(text: str, count: int) -> None:
    assert count_words(text) == len(text.split())
    assert first_words(text, count) == " ".join(text.split()[:count])


@example("7。7ข", 2)
@given(st.text("a7 é写诗。เขี", max_size=30), st.integers(0, 9))
def test_the_first_words_are_so_many(text: str, count: int) -> None:
    first = first_words(text, count)
    if has_spaceless(first) == has_spaceless(text):
        assert count_words(first) == min(count, count_words(text))
    else:  # what is left of the text is counted by its spaces: "7。7" is one word
        assert count_words(first) <= count


@pytest.mark.parametrize(("version", "reason"), [(2, "too_short"), (3, None)])
def test_a_chinese_instruction_is_not_too_short_from_version_3_on(
    version: int, reason: str | None
) -> None:
    rules = [r for r in rules_in_force(Of.INSTRUCTION, version) if r.section == "rules"]
    rules = [rule for rule in rules if rule.name in ("min_words", "max_words")]
    failure = first_failure(rules, InstructionFacts("写一首关于春天的诗。"), RunConfig())
    assert (failure and failure.reason) == reason
    assert first_failure(rules, InstructionFacts("写" * 151), RunConfig()) is not None
    assert first_failure(rules, InstructionFacts("写诗。"), RunConfig()) is not None
