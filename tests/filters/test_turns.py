"""Rules on turns: who says goodbye, what an earlier turn has too, and which rules apply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from selfinstruct.common.versions import RULES_VERSION
from selfinstruct.filters.rule import Of
from selfinstruct.filters.rules import RULES, reasons
from selfinstruct.filters.turns import (
    NOT_OF_REPLIES,
    USER_RULES,
    is_about_example,
    says_done,
    shared_share,
)
from selfinstruct.prompts.chats import load_chat_prompts
from selfinstruct.prompts.language import languages

WORDS = st.lists(st.sampled_from(["a", "bee", "sea", "dee", "eel", "fig"]), max_size=9)


@pytest.mark.parametrize(
    ("language", "text", "done"),
    [
        (None, "Thanks!", True),
        (None, "Thank you, that helps a lot. Have a nice day!", True),
        (None, "No, that's all.", True),
        (None, "Done", True),
        (None, "Thanks! Now translate it into French.", False),
        (None, "Thank you. Can you make it shorter?", False),
        (
            None,
            "Thanks to the rain the match was off; list five other reasons for a match to stop.",
            False,
        ),
        (None, "What is done about it?", False),
        (None, "", False),
        ("de", "Danke, das war alles.", True),
        ("de", "Danke. Nenne noch ein Beispiel.", False),
        ("vi", "Cảm ơn bạn!", True),
        ("zh", "谢谢你！这很有帮助。", True),  # noqa: RUF001
        ("zh", "谢谢。请再举一个例子。", False),
    ],
)
def test_who_says_goodbye(language: str | None, text: str, done: bool) -> None:
    prompts = load_chat_prompts(language)
    assert says_done(text, prompts.ends, prompts.polite) is done


def test_a_turn_about_an_example_is_found_unless_the_conversation_is() -> None:
    subjects = load_chat_prompts().subjects
    strays = "Can you name a bicycle repair shop?"
    assert is_about_example(strays, ["What is a web page?", "A document."], subjects)
    assert not is_about_example(strays, ["How do I oil my bicycle?", "Sparingly."], subjects)
    assert not is_about_example("Can you name a shop?", ["What is a web page?"], subjects)


def test_the_examples_of_every_language_end_as_they_should() -> None:
    for language in (None, *languages()):
        prompts = load_chat_prompts(language)
        ends = [text for text in prompts.shown if says_done(text, prompts.ends, prompts.polite)]
        assert len(ends) == 1


@given(WORDS, WORDS)
def test_short_turns_share_what_rouge_score_says(one: list[str], other: list[str]) -> None:
    text, earlier = " ".join(one), " ".join(other)
    if one and other:
        expected = RougeScorer(["rougeL"]).score(earlier, text)["rougeL"].fmeasure
        # Runs of 8 words may be copied too: never in texts of 7.
        if len(one) < 8:
            assert shared_share(text, earlier, RULES_VERSION) == pytest.approx(expected)
    same = shared_share(text, text, RULES_VERSION)
    assert same == 1.0
    assert 0 <= shared_share(text, earlier, RULES_VERSION) <= 1


def test_a_copy_in_a_longer_turn_is_found_by_its_runs() -> None:
    said = "The northern tower was built first of all by a guild of masons in 1820"
    longer = f"{said} and nobody alive remembers " + " ".join(f"w{n}" for n in range(30))
    # 15 words, so 8 runs of 8, all of them held.
    assert shared_share(said, longer, RULES_VERSION, by_rouge=False) == 1.0
    # The other way around: 49 words, 42 runs, of which 8 are held.
    assert shared_share(longer, said, RULES_VERSION, by_rouge=False) == pytest.approx(8 / 42)


def test_turns_without_a_word_are_compared_as_they_are() -> None:
    assert shared_share("???", "???", RULES_VERSION) == 1.0
    assert shared_share("???", "!", RULES_VERSION) == 0.0


def test_the_rules_that_are_named_exist() -> None:
    names = {of: {rule.name for rule in RULES if rule.of is of} for of in Of}
    assert names[Of.INSTRUCTION] >= USER_RULES
    assert names[Of.INSTANCE] >= NOT_OF_REPLIES
    assert {rule.reason for rule in RULES if rule.of in (Of.TURN, Of.CHAT)} <= set(reasons())
