"""Copies: of tasks that a prompt showed, and pooled instructions held whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.changes import HOLDS_ANSWER, HOLDS_KNOWN
from selfinstruct.filters.copies import copies_shown, words_of
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.filters.rule import Failure, InstructionFacts, Of, When, first_failure
from selfinstruct.filters.rules import rules_in_force

SHOWN = ["Which four European capitals lie on the Danube?", "Tell a joke."]
POOLED = "Explain the rules of chess to a child who likes football."


@pytest.mark.parametrize(
    "text",
    [
        "Which four European capitals lie on the Danube?",
        "WHICH four European capitals lie on the danube",
        "Ｗｈｉｃｈ four European capitals lie on the Danube?",  # noqa: RUF001
        "Which four European capitals lie on the Danube? - They are Rome and Milan.",
        "Tell a joke!",
        "9. Tell a joke",
    ],
)
def test_a_shown_task_is_copied(text: str) -> None:
    assert copies_shown(text, SHOWN)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Which European capitals lie on the Danube?", SHOWN),
        ("Retell a joke that you like.", SHOWN),
        ("the probability of an odd and a prime number", ["What is a prime number?"]),
        ("Sum up the text.", ["Sum up"]),  # too short to be held by chance
        ("Sum up the text.", []),
        ("写一首诗，再翻译成英文。", ["写一篇散文。"]),  # noqa: RUF001
    ],
)
def test_what_only_resembles_a_shown_task_is_no_copy(text: str, shown: list[str]) -> None:
    assert not copies_shown(text, shown)


def held(text: str, *pool: str) -> str | None:
    index = NoveltyIndex()
    index.add_all((f"p{number}", text) for number, text in enumerate(pool))
    return index.held(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"First {POOLED[0].lower()}{POOLED[1:]} Then explain football to a chess player.", "p1"),
        (POOLED, "p1"),
        (POOLED.upper().replace("CHESS", "chess,"), "p1"),
        (f"Rewrite this task: {POOLED}", None),
        (f"Rewrite “{POOLED}” as a question.", None),
        (f'Which word is missing in "{POOLED}"', None),
        (POOLED.replace("child", "boy"), None),
        ("Name a bird that cannot fly. Say where it lives.", None),  # the pooled one is too short
    ],
)
def test_a_pooled_text_of_8_words_that_is_held_whole_is_found(text: str, found: str | None) -> None:
    assert held(text, "Name a bird that cannot fly.", POOLED) == found


def test_a_pooled_text_with_a_colon_of_its_own_is_held() -> None:
    pooled = "Find the odd one out of these four words: apple, pear, brick, plum"
    assert held(f"{pooled}. It is the brick.", pooled) == "p0"


def test_characters_without_spaces_count_half() -> None:
    assert held("写一首关于春天的诗，再译成英文。", "写一首关于春天的诗") is None  # noqa: RUF001
    long = "请用简单的语言解释为什么天空是蓝色的"
    assert held(f"{long}，并举一个例子。", long) == "p0"  # noqa: RUF001


def test_of_two_that_are_held_the_first_to_begin_is_named() -> None:
    other = "Write a recipe for bread that takes no more than an hour."
    assert held(f"{other} {POOLED}", POOLED, other, other) == "p1"


WORDS = st.lists(st.sampled_from("abcd"), max_size=24)


@given(query=WORDS, pool=st.lists(WORDS, max_size=6))
def test_the_index_finds_what_a_search_of_every_text_finds(
    query: list[str], pool: list[list[str]]
) -> None:
    text, framed = " ".join(query), f" {' '.join(query)} "
    holds = [words for words in pool if len(words) >= 8 and f" {' '.join(words)} " in framed]
    found = held(text, *map(" ".join, pool))
    assert (found is not None) == bool(holds)
    if found is not None:
        assert pool[int(found[1:])] in holds


def test_words_are_those_of_any_script() -> None:
    assert words_of("Ça va? Größe ＡＢ 写诗 x_1") == [  # noqa: RUF001
        "ça",
        "va",
        "grösse",
        "ab",
        "写",
        "诗",
        "x",
        "1",
    ]


def test_each_rule_gives_its_reason_and_can_be_switched_off() -> None:
    index = NoveltyIndex()
    index.add("p0", POOLED)
    for name, facts in {
        "copies_prompt": InstructionFacts(SHOWN[0], shown=tuple(SHOWN)),
        "holds_known": InstructionFacts(f"{POOLED} And sing.", held=index.held),
        "holds_answer": InstructionFacts("What is two plus two? 4"),
    }.items():
        rules = [
            rule
            for rule in rules_in_force(Of.INSTRUCTION, 3)
            if rule.when is When.TEXT or rule is HOLDS_KNOWN
        ]
        assert first_failure(rules, facts, RunConfig()) == Failure(name)
        off = RunConfig.model_validate({"rules": {name: False}})
        assert first_failure(rules, facts, off) is None
        assert name not in {rule.name for rule in rules_in_force(Of.INSTRUCTION, 2)}
    assert HOLDS_ANSWER.limits.model_fields["holds_answer"].json_schema_extra == {
        "kind": "semantic",
        "since": 1,
        "before": False,
    }
