"""Preferences as they are read: formats, what is dropped, and labels that contradict."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Message
from selfinstruct.train.data.encode import prepare_tokenizer
from selfinstruct.train.data.encode_pairs import encode_pairs
from selfinstruct.train.data.preference_rows import read_preferences
from selfinstruct.train.data.ranked import comparisons, read_ranked
from tests.train.conventions import CONVENTIONS
from tests.train.tiny import tiny_tokenizer


def pair(number: int, **more: Any) -> dict[str, Any]:
    return {"prompt": f"Name {number}.", "chosen": "red", "rejected": "a dog", **more}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_and_conversations_are_read_alike(tmp_path: Path) -> None:
    texts = [pair(n) for n in range(10)]
    turns = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in texts
    ]
    first = read_preferences(written(tmp_path / "a.jsonl", texts))
    second = read_preferences(written(tmp_path / "b.jsonl", turns))
    pq.write_table(pa.Table.from_pylist(turns), tmp_path / "c.parquet")
    third = read_preferences(tmp_path / "c.parquet")
    for one, two, three in zip(first.train, second.train, third.train, strict=True):
        asked = Message(role="user", content=one.messages[0]["content"])
        assert one.messages == two.messages == three.messages == (asked,)
        assert (one.chosen, one.rejected) == (two.chosen, two.rejected) == ("red", "a dog")
    assert [row.messages[0]["content"] for row in first.held_out] == ["Name 9."]


def test_a_prompt_is_never_on_both_sides(tmp_path: Path) -> None:
    rows = [pair(n // 3, chosen=f"red {n}") for n in range(30)]
    split = read_preferences(written(tmp_path / "a.jsonl", rows), held_out=0.3)
    assert {row.prompt_id for row in split.train}.isdisjoint(
        row.prompt_id for row in split.held_out
    )
    assert (len(split.train), len(split.held_out)) == (21, 9)


def test_pairs_that_say_nothing_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [pair(n) for n in range(10)]
    rows += [pair(10, rejected=" red "), pair(11, chosen=" "), pair(12, margin=0)]
    rows += [pair(13, chosen_score=1.0, rejected_score=1.0)]
    split = read_preferences(written(tmp_path / "a.jsonl", rows), held_out=0)
    assert split.dropped == {"chosen_is_rejected": 1, "empty": 1, "tie": 2}
    assert len(split.train) == 10


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([pair(n) for n in range(5)], "4 pairs to train on are too few"),
        ([pair(n, rejected="red") for n in range(40)], "too few .*40 chosen_is_rejected"),
        ([pair(n, margin=0.0) for n in range(40)], "40 tie"),
        (
            [pair(n, chosen_score=1.0, rejected_score=2.0) for n in range(40)],
            "in 36 of 36 pairs the chosen answer is scored below .*labels flipped",
        ),
        ([pair(n, margin=-1.0) for n in range(40)], "labels flipped"),
        ([{"prompt": "x", "chosen": "y"}], 'a.jsonl:1: "rejected" is missing'),
        ([{"prompt": "", "chosen": "y", "rejected": "z"}], '"prompt" is'),
        ([pair(1, prompt=[{"role": "assistant", "content": "x"}])], "assistant before the user"),
        ([], "holds no pair"),
    ],
)
def test_what_cannot_be_learnt_from(
    tmp_path: Path, rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_preferences(written(tmp_path / "a.jsonl", rows))


def test_a_folder_must_be_finished(tmp_path: Path) -> None:
    (tmp_path / "preferences.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds no finished preferences"):
        read_preferences(tmp_path)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=7))
def test_ranked_answers_are_expanded_to_every_comparison(scores: list[int]) -> None:
    answers = [(n, float(score)) for n, score in enumerate(scores)]
    found = comparisons(answers)
    by_hand = {
        (a, b) for a in range(len(scores)) for b in range(len(scores)) if scores[a] > scores[b]
    }
    assert {(better, worse) for better, worse, _ in found} == by_hand
    assert len(found) == len(by_hand)
    assert sum(weight for *_, weight in found) == pytest.approx(1.0 if by_hand else 0.0)
    if len(set(scores)) == len(scores):
        assert len(found) == len(scores) * (len(scores) - 1) // 2


def test_ranked_lines(tmp_path: Path) -> None:
    rows = [{"prompt": f"Name {n}.", "ranked": ["best", "middle", "worst"]} for n in range(10)]
    split = read_ranked(written(tmp_path / "a.jsonl", rows), held_out=0.1)
    assert (len(split.train), len(split.held_out)) == (27, 3)
    first = [(row.chosen, row.rejected, row.weight) for row in split.train[:3]]
    assert first == [
        ("best", "middle", 1 / 3),
        ("best", "worst", 1 / 3),
        ("middle", "worst", 1 / 3),
    ]
    rows = [{"prompt": f"Name {n}.", "ranked": ["x", " x ", "", "y"]} for n in range(10)]
    split = read_ranked(written(tmp_path / "c.jsonl", rows), held_out=0.1)
    assert {(row.chosen, row.rejected, row.weight) for row in split.train} == {("x", "y", 1.0)}
    assert split.dropped == {"chosen_is_rejected": 20}
    with pytest.raises(ConfigError, match='"ranked" is'):
        read_ranked(written(tmp_path / "b.jsonl", [{"prompt": "x", "ranked": ["one"]}]))


def test_pairs_with_tools_stand_in_the_template(tmp_path: Path) -> None:
    convention = CONVENTIONS["Qwen 2.5, instruct"]
    tokenizer = tiny_tokenizer(
        template=convention.template,
        bos=convention.bos,
        eos=convention.eos,
        control=convention.control,
    )
    prepare_tokenizer(tokenizer)
    add = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}
    schema = {"type": "function", "function": add}
    file = written(tmp_path / "a.jsonl", [pair(n, tools=json.dumps([add])) for n in range(10)])
    split = read_preferences(file)
    assert [row.tools for row in split.train] == [(schema,)] * 9
    [first, *_] = encode_pairs(split.train, tokenizer, max_length=512, dropped=Counter())
    user = [{"role": "user", "content": "Name 0."}]
    assert tokenizer.decode(first.prompt_ids) == tokenizer.apply_chat_template(
        user, tools=[schema], tokenize=False, add_generation_prompt=True
    )
    plain = tiny_tokenizer(template=CONVENTIONS["SmolLM"].template, eos="<|im_end|>")
    prepare_tokenizer(plain)
    with pytest.raises(ConfigError, match=r"row 0: .*no form for the functions"):
        encode_pairs(split.train, plain, max_length=512, dropped=Counter())
