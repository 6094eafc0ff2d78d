"""Rows to train on: from runs and files, split, decontaminated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.dataset.export import export
from selfinstruct.dataset.formats import Format
from selfinstruct.dataset.rows import export_rows
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.inputs.read_data import ReadAs
from selfinstruct.inputs.task_plan import Mixture
from selfinstruct.store import Run
from selfinstruct.train.data.decontaminate import decontaminate
from selfinstruct.train.data.rows import TrainData, read_rows, split_rows
from selfinstruct.train.data.turns import TrainRow, task_row
from selfinstruct.verdicts.import_request import Import
from selfinstruct.verdicts.importing import import_dataset

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=40, likelihood__seed_bound=False)[0]


def test_every_format_of_an_export_gives_the_same_rows(tmp_path: Path, run: Run) -> None:
    own = [(row.users[0], row.answer) for row in read_rows(run.path).rows]
    assert len(own) == len(list(export_rows(run)))
    for format in (format for format in Format if format.suffix == "jsonl"):
        file = tmp_path / f"{format}.jsonl"
        export(run, format, file)
        assert [(row.users[0], row.answer) for row in read_rows(file).rows] == own


def test_seeds_come_first_where_they_are_wanted(run: Run) -> None:
    rows = read_rows(run.path, with_seeds=True).rows
    assert [row.id for row in rows[:2]] == ["seed:seed_task_0-0", "seed:seed_task_1-0"]
    assert len(rows) == len(read_rows(run.path).rows) + 12
    held = split_rows(TrainData(rows, 1.0), 0.5)
    assert not any(row.id.startswith("seed:") for row in held.validation)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        ('{"text": "x"}', "is read as texts .*there is no answer to learn"),
        ('{"messages": [{"role": "user"}]}', r'"messages\[0\].content" is not a text but null'),
        ('{"prompt": "a", "completion": " "}', "has no prompt or no answer"),
        ("[1, 2]", r"is \[1, 2\], no object"),
        ('{"instruction": "x", "output": 5}', '"output" is not a text but 5'),
        ('{"instruction": "x", "instances": ["y"]}', r'"instances\[0\]" is .y., but must be an'),
        (
            '{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"},'
            ' {"role": "user", "content": "v"}]}',
            "has no prompt or no answer",
        ),
        (
            '{"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "u"}]}',
            r'"conversations\[0\]" is a turn of the assistant before the user',
        ),
        (
            '{"messages": [{"role": "user", "content": null}, {"role": "assistant"}]}',
            r'"messages\[0\].content" is not a text but null',
        ),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}', ".*pairs are for `train dpo`"),
        (
            '{"prompt": "a", "completion": "b", "label": true}',
            ".*a person did not like",
        ),
        ('{"instruction": "x", "output": "y", "images": ["z.png"]}', '"images" is .*which changes'),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n' + line + "\n")
    with pytest.raises(ConfigError, match=rf"rows\.jsonl:2: {message}"):
        read_rows(file)


def test_separators_within_json_are_no_ends_of_lines(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"prompt": "a\u2028b", "completion": "c\u0085d\u2029e"}
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [(one.users[0], one.answer) for one in read_rows(file).rows] == [
        ("a\u2028b", "c\u0085d\u2029e")
    ]


def test_nothing_to_train_on(tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "folder").mkdir()
    for path, message in (
        (tmp_path / "empty.jsonl", "holds no task"),
        (tmp_path / "none", "no such file"),
        (tmp_path / "folder", "is an empty folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_rows(path)
    with pytest.raises(ConfigError, match="has no seeds"):
        read_rows(tmp_path / "empty.jsonl", with_seeds=True)


def test_validation_is_whole_proposals_of_the_last_rounds(run: Run) -> None:
    rows = read_rows(run.path).rows
    split = split_rows(TrainData(rows, 0.5), 0.2)
    held = [*split.validation, *split.near]
    assert 0.2 * len(rows) <= len(held) < 0.4 * len(rows)
    assert len(split.train) + len(held) == len(rows)
    proposals = {row.proposal for row in held}
    assert not proposals & {row.proposal for row in split.train}
    assert min(row.round for row in held) >= max(row.round for row in split.train)
    # No training row descends from one that is held out.
    parents = {c.id: set(c.parents) for n in run.rounds() for c in run.instructions(n)}
    apart = {row.id.rsplit("-", 1)[0] for row in held}
    assert not any(parents[row.id.rsplit("-", 1)[0]] & apart for row in split.train)
    # And none is its near neighbour.
    index = NoveltyIndex(0.5)
    for row in split.train:
        index.add(row.id, row.instruction)
    assert all(index.nearest(row.instruction, 0.5) is None for row in split.validation)
    assert all(index.nearest(row.instruction, 0.5) is not None for row in split.near)


def test_no_validation_where_none_is_wanted(run: Run) -> None:
    rows = read_rows(run.path).rows
    assert split_rows(TrainData(rows, 0.5), 0.0).train == rows
    assert len(split_rows(TrainData(rows[:1], 0.5), 0.5).train) == 1


def row(id: str, instruction: str, answer: str = "x") -> TrainRow:
    return task_row(id, instruction, instruction, answer)


def test_decontamination_says_what_and_how() -> None:
    long = " ".join(f"word{n}" for n in range(14))
    rows = [
        row("far", "Describe a glacier to a child."),
        row("near", "Write a short poem about the quiet winter sea."),
        row("copy", "Explain this.", f"Well: {long}, as they say."),
        row("part", "Explain that.", " ".join(long.split()[:12])),
    ]
    texts = ["Write a short poem about the quiet winter sea!", f"Read: {long}"]
    kept, removed = decontaminate(rows, texts, 0.7)
    assert [one.id for one in kept] == ["far", "part"]
    assert [(one.row.id, one.how) for one in removed] == [("near", "rouge_l"), ("copy", "13-gram")]
    assert removed[1].text == texts[1]


def test_rows_of_seed_files(tmp_path: Path) -> None:
    file = tmp_path / "seeds.jsonl"
    instances: list[dict[str, Any]] = [{"input": "i", "output": "o"}, {"output": "p"}]
    file.write_text(json.dumps({"instruction": "Do.", "instances": instances}))
    assert [(r.users[0], r.answer) for r in read_rows(file).rows] == [
        ("Do.\n\ni", "o"),
        ("Do.", "p"),
    ]


def test_system_prompts_and_history_are_learnt(tmp_path: Path) -> None:
    row = {
        "instruction": "And twice?",
        "input": "4",
        "output": "8",
        "system": "Answer with a number.",
        "history": [["Half of 4?", "2"]],
    }
    (tmp_path / "a.json").write_text(json.dumps([row], indent=2))
    (learnt,) = read_rows(tmp_path / "a.json").rows
    assert [turn["role"] for turn in learnt.messages] == [
        *("system", "user", "assistant", "user", "assistant"),
    ]
    assert learnt.messages[0]["content"] == "Answer with a number."
    assert (learnt.users, learnt.answer) == (["Half of 4?", "And twice?\n\n4"], "8")
    assert learnt.instruction == "And twice?"


def test_calls_of_tools_are_learnt_and_other_columns_are_not_forgotten(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "sum", "arguments": '{"of": [1]}'}}
    turns = [
        {"role": "user", "content": "Add it up."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
        {"role": "assistant", "content": "One."},
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns}))
    (learnt,) = read_rows(tmp_path / "a.jsonl").rows
    assert [turn["role"] for turn in learnt.messages] == ["user", "assistant", "tool", "assistant"]
    called = learnt.messages[1]["tool_calls"][0]["function"]
    assert called == {"name": "sum", "arguments": {"of": [1]}}
    more = {"messages": turns, "tools": [{"name": "sum"}], "images": ["a.png"]}
    (tmp_path / "b.jsonl").write_text(json.dumps(more))
    with pytest.raises(ConfigError, match=r'b.jsonl:1: "images" is .*--columns images='):
        read_rows(tmp_path / "b.jsonl")
    assert read_rows(tmp_path / "b.jsonl", reading=ReadAs(columns={"images": ""})).rows


TEMPLATES = """
name: capitals
about: Countries and their capitals.
templates:
  - name: ask
    instruction: Name the capital of the country.
    input: "{{ country }}"
    output: "{{ capital }} is the capital, as everybody there knows."
  - name: tell
    instruction: Say which country has this town as its capital.
    input: "{{ capital }}"
    output: "{{ country }} has it, as everybody there knows."
"""
PLACES = ("Ardal", "Brisk", "Corvin", "Dremel", "Estra", "Falun", "Gorm", "Hestia", "Ivel", "Jarn")


@pytest.mark.parametrize("examples", [0, 2])
def test_an_import_is_held_out_by_items(tmp_path: Path, examples: int) -> None:
    (tmp_path / "capitals.yaml").write_text(TEMPLATES)
    rows = [
        {
            "id": f"{first}{second}",
            "country": f"{first}land {second}",
            "capital": f"{second} {first}",
        }
        for first in PLACES
        for second in (f"{one}{two}" for one in ("Ober", "Unter") for two in PLACES[:3])
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mixture = Mixture(per_row=None, examples={examples: 1.0})
    what = Import(str(tmp_path / "data.jsonl"), (str(tmp_path / "capitals.yaml"),), mixture=mixture)
    import_dataset(what, tmp_path / "run")
    data = read_rows(tmp_path / "run")
    assert len({row.item for row in data.rows}) > 20
    split = split_rows(data, 0.2)
    held = {row.item for row in split.validation}
    train = {row.item for row in split.train}
    assert held
    assert not held & train
    # Both forms are learnt and held out: it is no whole template.
    for part in (split.train, split.validation):
        assert len({row.instruction.split("\n")[-1] for row in part}) == 2 or examples
    assert not any(held & set(row.shown) for row in split.train)
    assert sum(map(len, (split.train, split.validation, split.near))) == len(data.rows)
    if not examples:
        assert (
            round(0.2 * len(data.rows))
            <= len([*split.validation, *split.near])
            <= (0.2 * len(data.rows) + 2)
        )
    again = split_rows(data, 0.2)
    assert [row.id for row in again.validation] == [row.id for row in split.validation]
    assert split_rows(data, 0.0).train == data.rows
