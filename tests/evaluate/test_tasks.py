"""The tasks to evaluate on: what ships, and what a file may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.evaluate.tasks import read_eval_tasks, shipped_eval_tasks
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.inputs.seeds import parse_seeds, read_seed_bytes, shipped_seeds

TASK: dict[str, Any] = {
    "id": "t",
    "instruction": "Name a colour.",
    "instances": [{"input": "", "output": "Blue"}],
}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_what_ships_is_two_hundred_tasks_unlike_the_seeds() -> None:
    tasks = read_eval_tasks(shipped_eval_tasks())
    assert len(tasks) == 200
    assert sum(task.closed for task in tasks) >= 60
    assert len({task.instruction for task in tasks}) == 200
    assert len({task.application for task in tasks}) >= 11
    path = shipped_seeds()
    index = NoveltyIndex(0.7)
    for seed in parse_seeds(read_seed_bytes(path), path):
        index.add(seed.id, seed.instruction)
    near = [task.id for task in tasks if index.nearest(task.instruction) is not None]
    assert near == []


def test_an_instance_is_a_task(tmp_path: Path) -> None:
    two = [{"input": "a", "output": "1"}, {"input": "b", "output": "2"}]
    file = write(
        tmp_path / "t.jsonl",
        TASK,
        {
            "instruction": "Count.",
            "instances": two,
            "is_classification": True,
            "motivation_app": "x",
        },
    )
    first, second, third = read_eval_tasks(file)
    assert (first.id, first.closed, first.reference) == ("t", False, "Blue")
    assert [second.id, third.id] == ["2-0", "2-1"]
    assert (third.input, third.closed, third.application) == ("b", True, "x")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1], r"is \[1\], no object"),
        ({"instances": TASK["instances"]}, '"instruction" is missing'),
        ({**TASK, "instances": []}, '"instances" is empty'),
        ({**TASK, "instances": [{"input": "x"}]}, '"instances.0..output" is missing'),
        ({**TASK, "instances": [{"input": "x", "output": " "}]}, "has no reference .*instance 1"),
        (TASK, "id 't' is that of line 1 too"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, row: Any, message: str) -> None:
    file = write(tmp_path / "t.jsonl", TASK, row)
    with pytest.raises(ConfigError, match=rf"t\.jsonl:2: .*{message}"):
        read_eval_tasks(file)


def test_no_file_and_no_task(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_eval_tasks(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="holds no task"):
        read_eval_tasks(write(tmp_path / "t.jsonl"))
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(ConfigError, match=r"bad\.jsonl:1: is not JSON"):
        read_eval_tasks(tmp_path / "bad.jsonl")
