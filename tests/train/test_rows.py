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
from selfinstruct.store import Run
from selfinstruct.train.data.decontaminate import decontaminate
from selfinstruct.train.data.rows import TrainData, TrainRow, read_rows, split_rows

Generate = Callable[..., tuple[Run, str]]


@pytest.fixture
def run(tmp_path: Path, generate: Generate) -> Run:
    return generate(tmp_path / "run", stop__target=40, likelihood__seed_bound=False)[0]


def test_every_format_of_an_export_gives_the_same_rows(tmp_path: Path, run: Run) -> None:
    own = [(row.user, row.answer) for row in read_rows(run.path).rows]
    assert len(own) == len(list(export_rows(run)))
    for format in (format for format in Format if format.suffix == "jsonl"):
        file = tmp_path / f"{format}.jsonl"
        export(run, format, file)
        assert [(row.user, row.answer) for row in read_rows(file).rows] == own


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
        ('{"text": "x"}', "cannot be read as a training row"),
        ('{"messages": [{"role": "user"}]}', "cannot be read as a training row"),
        ('{"prompt": "a", "completion": " "}', "has no prompt or no answer"),
        ("[1, 2]", r"is \[1, 2\], no object"),
        ('{"instruction": "x", "output": 5}', "cannot be read .*is no text but 5"),
        ('{"instruction": "x", "instances": ["y"]}', "cannot be read .*no object but .y"),
        (
            '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, '
            '{"role": "assistant", "content": "a"}]}',
            "cannot be read .*one turn of user and one of assistant",
        ),
        (
            '{"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "u"}]}',
            "cannot be read .*one turn of human and one of gpt",
        ),
        (
            '{"messages": [{"role": "user", "content": null}, {"role": "assistant"}]}',
            "cannot be read .*is no text but null",
        ),
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
    assert [(one.user, one.answer) for one in read_rows(file).rows] == [
        ("a\u2028b", "c\u0085d\u2029e")
    ]


def test_nothing_to_train_on(tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    for path, message in (
        (tmp_path / "empty.jsonl", "holds no task"),
        (tmp_path / "none", "no such file; check --data"),
        (tmp_path, "is no run"),
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
    return TrainRow(id, instruction, instruction, answer)


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
    assert [(r.user, r.answer) for r in read_rows(file).rows] == [("Do.\n\ni", "o"), ("Do.", "p")]
