"""The script that measures what rows teach: scripts/study_pilot.py."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.store import Run

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TASK = {"instruction": "Name the colour.", "instances": [{"input": "sky", "output": "blue"}]}


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    names = ("study_pilot", "pilot_rows", "pilot_training")
    return {name: importlib.import_module(name) for name in names}


def test_rows_are_selected_by_columns_of_the_ledger(
    scripts: dict[str, ModuleType], small: Run
) -> None:
    rows = scripts["pilot_rows"]
    run = {"from": str(small.path)}
    everything = rows.table(run)
    assert {"instruction_rouge_l", "output_logprob", "output"} <= set(everything[0])
    assert [row.id for row in rows.part_rows(run)] == [row["id"] for row in everything]

    longest = max(len(row["output"].split()) for row in everything)
    expected = [row["id"] for row in everything if len(row["output"].split()) == longest]
    where = {"where": f"words(output) >= {longest}"}
    assert [row.id for row in rows.part_rows({**run, **where})] == expected
    two = rows.part_rows({**run, "order": "id desc", "most": 2, "times": 2})
    assert [row.id for row in two] == sorted((row["id"] for row in everything), reverse=True)[
        :2
    ] * 2


def test_seed_tasks_are_those_that_train_sft_reads(scripts: dict[str, ModuleType]) -> None:
    from selfinstruct.inputs.seeds import shipped_seeds
    from selfinstruct.train.data.rows import read_rows

    part_rows = scripts["pilot_rows"].part_rows
    read = [(row.users, row.answer) for row in read_rows(shipped_seeds()).rows]
    assert [(row.users, row.answer) for row in part_rows({"from": "seeds"})] == read
    closed = part_rows({"from": "seeds", "where": "words(output) <= 3", "times": 2})
    assert len(closed) == 2 * sum(len(answer.split()) <= 3 for _, answer in read)


def test_scores_of_a_file_are_columns(
    scripts: dict[str, ModuleType], small: Run, tmp_path: Path
) -> None:
    rows = scripts["pilot_rows"]
    run = {"from": str(small.path)}
    last = rows.table(run)[-1]["id"]
    scores = tmp_path / "scores.jsonl"
    scores.write_text(json.dumps({"id": last, "gain": 0.5}) + "\n")
    part = {**run, "scores": str(scores), "where": "gain > 0.4"}
    assert [row.id for row in rows.part_rows(part)] == [last]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"where": "true"}, "no from"),
        ({"from": "seeds", "were": "true"}, "'were'"),
        ({"from": "seeds", "where": "nothing_such"}, "the columns are .*is_classification"),
    ],
)
def test_parts_that_cannot_be(
    scripts: dict[str, ModuleType], part: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        scripts["pilot_rows"].part_rows(part)


def test_an_expression_that_is_wrong_names_the_columns(
    scripts: dict[str, ModuleType], small: Run
) -> None:
    with pytest.raises(ConfigError, match=r"the columns are .*output_logprob"):
        scripts["pilot_rows"].part_rows({"from": str(small.path), "where": "nothing_such > 1"})


def test_the_interval_covers_tasks_and_seeds(scripts: dict[str, ModuleType]) -> None:
    # Two seeds that differ by 2 on every task: only the draw of seeds can widen the interval.
    values = np.array([[0.0] * 50, [2.0] * 50])
    assert scripts["study_pilot"].difference(
        values, np.zeros((2, 50)), np.ones(50)
    ) == pytest.approx((1, 0, 2))
    # One seed: tasks alone, whose mean has a standard error of 1 / sqrt(400) = 0.05.
    tasks = np.array([[-1.0, 1.0] * 200])
    mean, low, high = scripts["study_pilot"].difference(tasks, np.zeros((1, 400)), np.ones(400))
    assert mean == 0
    assert low == pytest.approx(-0.098, abs=0.01)
    assert high == pytest.approx(-low, abs=0.01)
    # Weights of 3 and 1 move the mean to (−3 + 1) / 4.
    weighed = np.array([3.0, 1.0] * 200)
    mean, low, high = scripts["study_pilot"].difference(tasks, np.zeros((1, 400)), weighed)
    assert mean == pytest.approx(-0.5)
    assert low < -0.5 < high


def test_references_are_scored_as_transformers_scores_each_alone(
    scripts: dict[str, ModuleType], model: LocalModel
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    training = scripts["pilot_training"]
    tasks = [
        training.EvalTask(
            str(n), f"Name the {'red ' * n}colour.", "", "blue " * (n + 1), False, None
        )
        for n in range(5)
    ]
    student = training.Student(model)
    scored = student.score(tasks)
    network = AutoModelForCausalLM.from_pretrained(model.path, dtype=student.network.dtype)
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    for task, value in zip(tasks, scored, strict=True):
        prompt = f"<start>### Task\n{task.instruction}\n\n### Answer\n"
        before = len(tokenizer.encode(prompt, add_special_tokens=False))
        ids = torch.tensor([tokenizer.encode(prompt + task.reference, add_special_tokens=False)])
        logprobs = network(ids).logits[0].detach().float().log_softmax(-1)
        alone = [float(logprobs[at - 1, ids[0, at]]) for at in range(before, ids.shape[1])]
        assert value == pytest.approx(sum(alone) / len(alone), abs=0.02)


def test_an_arm_learns_as_train_sft_does_and_is_not_done_twice(
    scripts: dict[str, ModuleType], model: LocalModel, tmp_path: Path
) -> None:
    from selfinstruct.train.data.rows import Split
    from selfinstruct.train.data.turns import task_row
    from selfinstruct.train.recipe import Job
    from selfinstruct.train.recipes.sft import SFT
    from selfinstruct.train.runner import train

    pilot, training = scripts["study_pilot"], scripts["pilot_training"]
    rows = [task_row(str(n), "Name it.", f"Name {n}", "blue") for n in range(12)]
    arm = pilot.Arm("own", [{}], 3, (2, 3), 1e-3)
    settings = arm.settings(1)
    stages = [training.Stage(rows, settings)]
    tasks = [training.EvalTask("t", "Name it.", "", "blue", False, None)]
    student = training.Student(model)
    untrained = student.score(tasks)
    scored = student.train(stages, tasks, arm.at)
    result = train(SFT, Job(Split(rows, [], []), model, tmp_path / "sft", settings), lambda _: None)
    assert scored.losses == result.losses
    assert scored.tokens == result.tokens
    assert untrained[0] < scored.nats[2][0] < scored.nats[3][0]
    # The next arm begins with the model's own weights, and learns the same.
    assert student.score(tasks) == untrained
    assert student.train(stages, tasks, arm.at).nats == scored.nats
    # Learnt after themselves, the rows are known better from the first step.
    twice = student.train(stages * 2, tasks, arm.at)
    assert twice.losses[0][1] < scored.losses[0][1]
    assert twice.nats[3][0] > scored.nats[3][0]
    assert student.score(tasks) == untrained


def test_a_study_is_read_measured_and_goes_on(
    scripts: dict[str, ModuleType],
    model: LocalModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rich.console import Console

    pilot = scripts["study_pilot"]
    tasks = tmp_path / "tasks.jsonl"
    lines = [{**TASK, "id": f"t{n}", "source": "ab"[n % 2]} for n in range(8)]
    tasks.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = tmp_path / "rows.jsonl"
    row = {"instruction": "Name it.", "input": "sea", "output": "blue"}
    rows.write_text(json.dumps(row) + "\n" + json.dumps({**row, "output": "red"}) + "\n")
    values = {
        "model": str(model.path),
        "tasks": str(tasks),
        "group": "source",
        "steps": 2,
        "seeds": [0, 1],
        "against": "blue",
        "arms": {
            "nothing": {},
            "blue": [{"from": str(rows), "where": "output = 'blue'"}],
            "both": {"rows": [{"from": str(rows)}], "learning_rate": 0.001},
            "later": {"first": [{"from": str(rows), "most": 1}], "rows": [{"from": str(rows)}]},
        },
    }
    path = tmp_path / "arms.yaml"
    path.write_text(yaml.safe_dump(values))
    study = pilot.read_study(path)
    work = tmp_path / "work"
    pilot.measure(study, work, [], Console(quiet=True))
    table = {row["arm"]: row for row in pilot.report(study, work)}
    assert [table[name]["rows"] for name in values["arms"]] == [0, 1, 2, 3]
    assert table["both"]["seeds"] == 2
    # Two steps of its own after two of the rows that it learns first.
    assert [table[name]["step"] for name in values["arms"]] == [0, 2, 2, 4]
    assert set(table["both"]["groups"]) == {"a", "b"}
    assert table["both"]["difference"][0] == pytest.approx(
        table["both"]["nats"] - table["blue"]["nats"]
    )
    lines = pilot.markdown(pilot.cells(list(table.values()), "blue")).splitlines()
    assert lines[0].startswith(
        "| arm | step | rows | tokens | seeds | nats/token | − blue | a | b |"
    )
    assert len(lines) == 2 + len(values["arms"])
    kept = {file.name: file.stat().st_mtime_ns for file in work.iterdir()}
    assert set(kept) == {
        "nothing-0.json",
        *(f"{a}-{s}.json" for a in ("blue", "both", "later") for s in (0, 1)),
    }
    pilot.measure(study, work, [], Console(quiet=True))
    assert {file.name: file.stat().st_mtime_ns for file in work.iterdir()} == kept

    halves = [pilot.read_study(_with(path, values, half=half)) for half in ("first", "second")]
    first, second = ({task.id for task in study.tasks} for study in halves)
    assert first | second == {f"t{n}" for n in range(8)}
    assert not first & second
    heavy = pilot.read_study(_with(path, values, stand_for={"a": 30, "b": 10}))
    weighed = {row["arm"]: row["nats"] for row in pilot.report(heavy, work)}
    assert weighed["blue"] == pytest.approx(
        (3 * table["blue"]["groups"]["a"] + table["blue"]["groups"]["b"]) / 4
    )
    short = pilot.read_study(_with(path, values, max_length=64)).arms["later"]
    assert [stage.settings(0).max_length for stage in short.stages] == [64, 64]
    with pytest.raises(ConfigError, match="name every group"):
        pilot.read_study(_with(path, values, stand_for={"a": 30}))
    with pytest.raises(ConfigError, match="steep: unknown"):
        pilot.read_study(_with(path, values, steep=3))
    with pytest.raises(ConfigError, match="which is no arm"):
        pilot.read_study(_with(path, values, against="green"))


def _with(path: Path, values: dict[str, object], **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**values, **changes}))
    return path
