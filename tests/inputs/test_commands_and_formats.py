"""Every command reads every format of the table in docs/data.md, or refuses it by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.dataset.read import read_any
from selfinstruct.evaluate.choices import read_choices, read_ranked_pairs
from selfinstruct.evaluate.rankings import Ranked
from selfinstruct.evaluate.tasks import read_eval_tasks
from selfinstruct.inputs import purposes
from selfinstruct.inputs.formats import FORMATS
from selfinstruct.inputs.formats.base import Format
from selfinstruct.inputs.purposes import PURPOSES, Purpose
from selfinstruct.inputs.seed_rows import seeds_of
from selfinstruct.inputs.text_data import texts_of
from selfinstruct.preferences.sample import read_prompts
from selfinstruct.train.data.chosen import read_chosen
from selfinstruct.train.data.decontaminate import read_avoided
from selfinstruct.train.data.labelled import LabelledSplit, read_labelled
from selfinstruct.train.data.preference_rows import PreferenceSplit, read_preferences
from selfinstruct.train.data.prompts import PromptSplit, read_rl_prompts
from selfinstruct.train.data.ranked import read_ranked
from selfinstruct.train.data.rows import TrainData, read_rows
from selfinstruct.train.data.scored import read_scores
from selfinstruct.train.data.turns import TrainRow
from selfinstruct.train.recipes.reward_report import read_checks
from tests.inputs.some_rows import ROWS, answer, array, data, question

COUNT = 12
QUESTIONS = [question(n) for n in range(COUNT)]
ANSWERS = [answer(n) for n in range(COUNT)]


def pairs(split: PreferenceSplit) -> list[str]:
    rows = [*split.train, *split.held_out]
    asked = [row.messages[-1] for row in rows]
    return list(
        dict.fromkeys(turn["content"] if isinstance(turn, dict) else turn[1] for turn in asked)
    )


def asked(items: Sequence[Ranked]) -> list[str]:
    return [item.turns[-1]["content"] for item in items]


def labelled(split: LabelledSplit) -> list[str]:
    rows = [*split.train, *split.held_out]
    return list(dict.fromkeys(row.messages[-1]["content"] for row in rows))


def prompts(split: PromptSplit) -> list[str]:
    return [prompt.text for prompt in [*split.train, *split.held_out]]


def chosen(data: TrainData, held_out: Sequence[TrainRow]) -> list[str]:
    return list(dict.fromkeys(row.instruction for row in [*data.rows, *held_out]))


def scored(file: Path) -> list[str]:
    """Give each row of a file scores, and read them."""
    rows = json.loads(file.read_text())
    for row in rows:
        scores: dict[str, Any] = {"score": 3}
        if "ranked" in row:
            scores = {"scores": [3, 2, 1]}
        elif "chosen" in row:
            scores = {"chosen_score": 2, "rejected_score": 1}
        row.update(scores)
    array(file, rows)
    split = read_scores(file)
    found = [row.messages[-1]["content"] for row in [*split.train, *split.held_out]]
    return list(dict.fromkeys(found))


# What each command reads, as the texts that it asks; those of the table's other cells are refused.
READS: Mapping[str, Callable[[Path], list[str]]] = {
    "--seeds": lambda file: [seed.instruction for seed in seeds_of(read_any(file, "--seeds"))],
    "--topics": lambda file: texts_of(read_any(file, "--topics"), purposes.TOPICS),
    "--avoid": lambda file: texts_of(read_any(file, "--avoid"), purposes.AVOID),
    "train sft": lambda file: [row.instruction for row in read_rows(file).rows],
    "train sft --decontaminate": lambda file: list(dict.fromkeys(read_avoided(file))),
    "train dpo": lambda file: pairs(read_preferences(file)),
    "train kto": lambda file: labelled(read_labelled(file)),
    "train sft --field chosen": lambda file: chosen(*read_chosen(file)),
    "train reward": lambda file: pairs(read_preferences(file, purpose=purposes.REWARD)),
    "train reward --ranked": lambda file: pairs(read_ranked(file)),
    "train reward --loss regression": scored,
    "train reward --check": lambda file: pairs(
        PreferenceSplit([check.row for check in read_checks(file)], [])
    ),
    "prefer": lambda file: [p.user for p in read_prompts(file, purposes.PREFER, "DATA").tasks],
    "best-of": lambda file: [p.user for p in read_prompts(file, purposes.BEST_OF, "DATA").tasks],
    "train rl": lambda file: prompts(read_rl_prompts(file)),
    "train distill": lambda file: prompts(read_rl_prompts(file, purpose=purposes.DISTILL)),
    "evaluate --choices": lambda file: asked(read_choices(file)),
    "evaluate --pairs": lambda file: asked(read_ranked_pairs(file)),
    "evaluate --tasks": lambda file: [task.instruction for task in read_eval_tasks(file)],
}


def test_every_format_and_command_is_tried() -> None:
    assert set(ROWS) == {format.name for format in FORMATS}
    assert set(READS) == {purpose.option for purpose in PURPOSES}


@pytest.mark.parametrize("purpose", PURPOSES, ids=lambda purpose: purpose.option)
@pytest.mark.parametrize("format", FORMATS, ids=lambda known: known.name)
def test_a_command_reads_a_format_or_says_why_not(
    format: Format, purpose: Purpose, tmp_path: Path
) -> None:
    file = data(tmp_path, format.name, COUNT)
    read = READS[purpose.option]
    if purpose.fits(format):
        assert read(file) == QUESTIONS
        return
    with pytest.raises(ConfigError) as caught:
        read(file)
    message = str(caught.value)
    assert message.startswith(f"{file}:2: is read as {format.name} ({format.kind}), which ")
    assert purpose.refuses[format.kind] in message


@pytest.mark.parametrize("format", FORMATS, ids=lambda known: known.name)
def test_a_format_is_recognised_and_said(
    format: Format, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file = data(tmp_path, format.name, COUNT)
    assert read_any(file, "--data").format.startswith(f"{format.name}: ")
    assert f"read 12 rows as {format.name}: " in caplog.text
    example = array(tmp_path / "example.json", [format.example])
    assert read_any(example, "--data").format.startswith(f"{format.name}: ")


@pytest.mark.parametrize("format", [f for f in FORMATS if f.kind == "tasks with answers"])
def test_the_answers_are_those_of_the_file(format: Format, tmp_path: Path) -> None:
    file = data(tmp_path, format.name, COUNT)
    assert [row.answer for row in read_rows(file).rows] == ANSWERS
    assert [task.reference for task in read_eval_tasks(file)] == ANSWERS
    assert [seed.instances[0].output for seed in seeds_of(read_any(file, "--seeds"))] == ANSWERS
    tasks = read_prompts(file, purposes.BEST_OF, "DATA").tasks
    assert [task.reference for task in tasks] == ANSWERS


def test_a_judged_answer_is_no_reference(tmp_path: Path) -> None:
    tasks = read_prompts(data(tmp_path, "kto"), purposes.PREFER, "DATA").tasks
    assert {task.reference for task in tasks} == {""}


@pytest.mark.parametrize("purpose", PURPOSES, ids=lambda purpose: purpose.option)
@pytest.mark.parametrize("format", FORMATS, ids=lambda known: known.name)
def test_tools_are_used_or_refused_by_name(
    format: Format, purpose: Purpose, tmp_path: Path
) -> None:
    if not purpose.fits(format):
        return
    tools = [{"name": "add", "description": "Adds.", "parameters": {"type": "object"}}]
    rows = [{**ROWS[format.name](n), "tools": tools} for n in range(COUNT)]
    file = array(tmp_path / "rows.json", rows)
    if purpose.tools and "tools" in format.names:
        assert READS[purpose.option](file) == QUESTIONS
        return
    with pytest.raises(ConfigError, match=r'"tools" .*--columns tools='):
        READS[purpose.option](file)
