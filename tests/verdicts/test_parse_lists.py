"""Lists as models write them, and the instructions that are read from them."""

from __future__ import annotations

import pytest

from selfinstruct.verdicts.parse.items import clean_item
from selfinstruct.verdicts.parse.lists import read_list


def texts_of(
    text: str, *, continues: bool = True, first: int = 9, finish: str = "stop"
) -> list[str]:
    items = read_list(text, finish, first_number=first, continues=continues)
    assert all(text[item.start : item.end] == item.raw for item in items)
    return [item.text for item in items]


@pytest.mark.parametrize(
    "second",
    [
        "10. Name a fish.",
        "10.Name a fish.",
        "10) Name a fish.",
        "10)Name a fish.",
        "10: Name a fish.",
        "10:Name a fish.",
        "(10) Name a fish.",
        "（10）Name a fish.",
        "１０．Name a fish.",
        "１０． Name a fish.",
        "10、Name a fish.",
        "10 - Name a fish.",
        "10\\. Name a fish.",
        "**10.** Name a fish.",
        "**10. Name a fish.**",
        "**10**. Name a fish.",
        "__10.__ Name a fish.",
        "### 10. Name a fish.",
        "- 10. Name a fish.",
        "Task 10: Name a fish.",
        "**Task 10:** Name a fish.",
        "10. **Task:** Name a fish.",
        "10. Instruction: Name a fish.",
        "  10. Name a fish.",
        "10. Name a fish.\n\n---",
        "10. Name a fish.\n**",
        '10. "Name a fish."',
        "10. 「Name a fish.」",
    ],
)
@pytest.mark.parametrize("continues", [True, False])
def test_a_number_in_any_dress_starts_an_item(second: str, *, continues: bool) -> None:
    first = " Name a bird." if continues else "9. Name a bird."
    text = f"{first}\n{second}\n11. Name a tree."
    assert texts_of(text, continues=continues) == ["Name a bird.", "Name a fish.", "Name a tree."]


@pytest.mark.parametrize(
    "text",
    [
        " Which is more, 9.5 or\n10.5 litres?",
        " Is the shop open at\n10:30 today?",
        " Who was born in\n1999. or later?",
        " Say what changed in version 10. The answer is short.",
        " Describe rule No. 10. Keep it short.",
        " Add 5 and 10",
        " Sort these: 1. pears 2. apples 10. figs",
    ],
)
def test_other_numbers_start_none(text: str) -> None:
    assert texts_of(text) == [" ".join(text.split())]


@pytest.mark.parametrize(
    "nested",
    [
        "Sort these:\n1. pears\n2. apples",
        "Sort these:\n1) pears\n2) apples\n3) figs",
        "Sort these.\n   1. pears\n   2. apples",
        "Sort these.\n\t1. pears\n\t2. apples",
        "Which of them is a fruit?\n1. pear\n2. car",
        "Compare them:\n- pears\n- apples",
    ],
)
@pytest.mark.parametrize("continues", [True, False])
def test_a_list_inside_an_instruction_stays_part_of_it(nested: str, *, continues: bool) -> None:
    text = f" {nested}\n10. Name a fish."
    text = text if continues else f"9.{text}"
    assert texts_of(text, continues=continues) == [" ".join(nested.split()), "Name a fish."]


def test_an_indented_list_does_not_end_where_its_numbers_reach_the_next_item() -> None:
    text = "1. Name a bird.\n2. Sort these:\n   1. a\n   2. b\n   3. c\n3. Name a fish."
    found = texts_of(text, continues=False)
    assert found == ["Name a bird.", "Sort these: 1. a 2. b 3. c", "Name a fish."]


def test_a_list_that_restarts_is_read_too() -> None:
    text = " Name a bird.\n1. Name a fish.\n2. What is a tree?\n10. Name a stone, please."
    assert texts_of(text) == [
        *("Name a bird.", "Name a fish.", "What is a tree?", "Name a stone, please."),
    ]


def test_the_shown_list_is_no_part_of_an_instruction_that_ends_with_a_colon() -> None:
    shown = "\n".join(f"{n}. Task number {n} of the list." for n in range(1, 9))
    found = texts_of(f" Here are some tasks:\n{shown}")
    assert found[1:] == [f"Task number {n} of the list." for n in range(1, 9)]
    found = texts_of(f" Sort the numbers below:\n{shown}")
    assert len(found) == 9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Name a bird.\n9. Name a fish.", ["Name a bird.", "Name a fish."]),
        (" Name a bird.\n11. Name a fish.", ["Name a bird.", "Name a fish."]),
        (" Name a bird.\n10. Name a fish.\n10. Name a tree.", None),
    ],
)
def test_numbers_may_repeat_and_skip(text: str, expected: list[str] | None) -> None:
    expected = expected or ["Name a bird.", "Name a fish.", "Name a tree."]
    assert texts_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Explain binary search? 10. Write it.", ["Explain binary search?", "Write it."]),
        (" How fast is binary search? 10. W", ["How fast is binary search?", "W"]),
        (" Name a bird. 10. Name a fish. 11. Say hi.", ["Name a bird.", "Name a fish.", "Say hi."]),
        (" Name a bird 10. Name a fish 11. Say hi", ["Name a bird", "Name a fish", "Say hi"]),
        (" Name a bird.10. Name a fish.", ["Name a bird.", "Name a fish."]),
        (' Say "hi." **10.** Name a fish.', ['Say "hi."', "Name a fish."]),
        (" 写一首诗。10．介绍北京。11、说说春天。", ["写一首诗。", "介绍北京。", "说说春天。"]),
        (" Name a bird. 10. Name a fish.\n11. Hi.", ["Name a bird.", "Name a fish.", "Hi."]),
    ],
)
def test_a_list_on_one_line_is_split_where_its_numbers_rise(text: str, expected: list[str]) -> None:
    assert texts_of(text) == expected


def test_a_number_that_a_line_has_too_does_not_split_a_line() -> None:
    text = " Name a bird. 10. Is the answer.\n10. Name a fish."
    assert texts_of(text) == ["Name a bird. 10. Is the answer.", "Name a fish."]


@pytest.mark.parametrize(
    "end",
    ["\n10.", "\n10", " 10.", " 10", "\n**10", "\n10)", "\n### 10.", "\n10、", "\n（10", "\n- "],
)
def test_the_next_number_is_no_part_of_an_item(end: str) -> None:
    assert texts_of(f" Is it a bird?{end}") == ["Is it a bird?"]
    assert texts_of(f"8. Is it a tree?\n9. Is it a bird?{end}", continues=False) == [
        *("Is it a tree?", "Is it a bird?"),
    ]


@pytest.mark.parametrize("bullet", ["-", "*", "•", "–", "·", "●", "+"])
def test_bullets_in_place_of_numbers(bullet: str) -> None:
    first, second = "Name a bird that can fly.", "Name a fish that can swim."
    both = f"{bullet} {first}\n{bullet} {second}"
    assert texts_of(both, continues=False) == [first, second]
    assert texts_of(f"Here are two tasks:\n\n{both}", continues=False) == [first, second]
    assert texts_of(f" Say hello to them.\n{both}") == ["Say hello to them.", first, second]
    assert texts_of(f" Do both of these:\n{both}") == [
        f"Do both of these: {bullet} {first} {bullet} {second}"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name a bird that flies.\n10. Name a fish.", ["Name a bird that flies.", "Name a fish."]),
        ("Name a bird that flies.\n2. Name a fish.", ["Name a bird that flies.", "Name a fish."]),
        ("Sure!\nName a bird that flies.\n10. Hi.", ["Name a bird that flies.", "Hi."]),
        ("Here are the new tasks:\n10. Name a fish.", ["Name a fish."]),
        ("Sure, here are eight more.\n10. Name a fish.", ["Name a fish."]),
        ("These belong to the list:\n9. Name a fish.", ["Name a fish."]),
    ],
)
def test_the_first_number_may_be_missing(text: str, expected: list[str]) -> None:
    assert texts_of(text, continues=False) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name a bird.\nWrite a short poem.\nWhat is it?", 3),
        ("Name a bird of prey.\nWrite a short poem.", 2),
        ("写一首关于春天的诗。\n介绍一下北京的历史。\n怎样学习数学最好？", 3),
        ("Classify this sentence for me.\nThe sun rose over the hills.", 1),
        ("Name a bird\nthat lives in Peru.", 1),
    ],
)
def test_a_task_a_line(text: str, expected: int) -> None:
    assert len(texts_of(text)) == expected


def test_a_text_without_a_list_is_none() -> None:
    assert texts_of("There is no list here.", continues=False) == []
    assert texts_of("", continues=False) == []
    assert texts_of(" \n") == []


@pytest.mark.parametrize("mark", ["{}. ", "{}．", "{}、", "（{}）", "{}：", "**{}.** "])
def test_a_chinese_list_is_not_one_task(mark: str) -> None:
    tasks = ["写一首关于春天的诗。", "介绍一下北京的历史。", "把下面的句子翻译成英文。"]
    text = "\n".join(mark.format(n) + task for n, task in enumerate(tasks, 9))
    assert texts_of(text, continues=False) == tasks
    assert texts_of(text.removeprefix(mark.format(9))) == tasks
    one_line = text.replace("\n", "").replace("**", "")
    assert len(texts_of(one_line.removeprefix(mark.format(9).replace("**", "")))) == 3


def test_what_stands_around_a_list_is_recorded_as_cut() -> None:
    text = (
        "Sure, here are the tasks:\n\n9. Name a bird.\n10. Name a fish.\n\n"
        "Let me know if you need more tasks!"
    )
    first, second = read_list(text, "stop", first_number=9, continues=False)
    assert (first.text, first.cut) == ("Name a bird.", "Sure, here are the tasks:")
    assert (second.text, second.cut) == ("Name a fish.", "Let me know if you need more tasks!")


def test_a_paragraph_behind_a_list_of_lines_is_no_part_of_its_last_item() -> None:
    text = "9. Name a bird.\n10. Name a fish.\n11. Say hi.\n\nThese tasks cover many fields."
    items = read_list(text, "stop", first_number=9, continues=False)
    assert [item.text for item in items] == ["Name a bird.", "Name a fish.", "Say hi."]
    assert items[-1].cut == "These tasks cover many fields."


def test_a_title_on_a_line_of_its_own_is_cut() -> None:
    text = "**9. Haiku**\nWrite a haiku.\n\n**10. Birds:** name one.\n### 11. Fish\nName one."
    items = read_list(text, "stop", first_number=9, continues=False)
    assert [item.text for item in items] == ["Write a haiku.", "Birds: name one.", "Name one."]
    assert [item.cut for item in items] == ["Haiku**", None, "Fish"]


@pytest.mark.parametrize(
    "notes",
    [
        "   - They are the swift and the swallow.",
        '\n   - One of them is the swift.\n   - Another one is "the swallow."',
        "- This task asks for the name of a bird.",
    ],
)
def test_notes_below_an_instruction_are_cut(notes: str) -> None:
    text = f"9. **Which birds live in towns?**\n{notes}\n10. Name a fish."
    first, second = read_list(text, "stop", first_number=9, continues=False)
    assert (first.text, first.cut) == ("Which birds live in towns?", notes.strip())
    assert text[first.start : first.end] == first.raw
    assert second.text == "Name a fish."


@pytest.mark.parametrize(
    "part",
    [
        "Which of them is a bird?\n   - the swift\n   - the cod",
        "Answer these questions:\n   - What is the name of a bird?\n   - Where does it live, then?",
        "What does this print?\n   ```python\n   print(1)\n   ```",
    ],
)
def test_what_belongs_to_an_instruction_stays(part: str) -> None:
    assert texts_of(f"9. {part}\n10. Name a fish.", continues=False)[0] == " ".join(part.split())


@pytest.mark.parametrize(
    ("text", "truncated"),
    [
        ("9. One\n10. Two", [False, True]),
        ("9. One\n10.", [False]),
        ("9. Is it one?\n10", [False]),
        ("9. One\n10. Two\n\nLet me know if you need more tasks!", [False, False]),
    ],
)
def test_the_token_limit_truncates_what_it_cut(text: str, truncated: list[bool]) -> None:
    items = read_list(text, "length", first_number=9, continues=False)
    assert [item.truncated for item in items] == truncated


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("„Nenne einen Vogel.“", "Nenne einen Vogel."),
        ("«Nomme un oiseau.»", "Nomme un oiseau."),
        ("*Name a bird.*", "Name a bird."),
        ("Compute 2**10 or 3*4*5.", "Compute 2**10 or 3*4*5."),
        ("« A » ou « B »", "« A » ou « B »"),
    ],
)
def test_marks_around_the_whole_are_dropped(raw: str, clean: str) -> None:
    assert clean_item(raw) == clean


@pytest.mark.parametrize(
    "item",
    [
        "10. Veterinary practice: Feed it.",
        "10. **Veterinary practice:** Feed it.",
        "10. veterinary practice：Feed it.",
        "10.A veterinary practice: Feed it.",
        "10. Feed it.",
    ],
)
def test_the_tag_of_a_list_is_no_part_of_its_items(item: str) -> None:
    text = f" Weigh it.\n{item}"
    items = read_list(text, "stop", first_number=9, continues=True, tag="Veterinary practice:")
    assert [item.text for item in items] == ["Weigh it.", "Feed it."]
