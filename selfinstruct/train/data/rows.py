"""Training rows: reads them from a run or a file, and holds some out for validation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.jsonlines import read_objects
from selfinstruct.common.versions import RULES_VERSION
from selfinstruct.config.schema import NoveltyConfig
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.prompts.canonical import unframed, user_text
from selfinstruct.store import Run, open_run, run_exists

# An instruction, what a user writes, and the answer.
_Task = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One task to learn: what a user writes, and the answer.

    `proposal` is the proposal that the task came from, whose rows stay together. It is empty for
    rows of a file and for seeds.
    """

    id: str
    instruction: str
    user: str
    answer: str
    round: int = 0
    proposal: str = ""


@dataclass(frozen=True)
class TrainData:
    """The rows of a run or a file, in the order in which they were written.

    near_above: the ROUGE-L above which two of their instructions are near neighbours.
    rules_version: version of the rules by which instructions are split into words.
    """

    rows: list[TrainRow]
    near_above: float
    rules_version: int = RULES_VERSION


@dataclass(frozen=True)
class Split:
    """Rows to train on, rows to validate with, and rows that are too near to the former."""

    train: list[TrainRow]
    validation: list[TrainRow]
    near: list[TrainRow]


def read_rows(data: Path, *, answers: Answers = Answers.OWN, with_seeds: bool = False) -> TrainData:
    """Read training rows from a run's folder or a file.

    Files are JSON lines, each in one of `_LAYOUTS`: as `export` writes them, or as in seed files.

    Args:
        data: the folder or file.
        answers: for a run, whose outputs to learn.
        with_seeds: put the run's seed tasks before its own.

    Raises:
        ConfigError: there is none, or a line cannot be used. Names file, line and fix.
        StoreError: the run is damaged.
    """
    if data.is_dir():
        if not run_exists(data):
            raise ConfigError(f"{data}: is no run; give a run's folder or a file as --data")
        train_data = _read_run(open_run(data), answers, with_seeds)
    else:
        if with_seeds:
            raise ConfigError(f"{data}: is a file, which has no seeds; leave --with-seeds out")
        train_data = TrainData(_file_rows(data), NoveltyConfig().audit_floor)
    if not train_data.rows:
        raise ConfigError(f"{data}: holds no task to train on; generate some first")
    return train_data


def _read_run(run: Run, answers: Answers, with_seeds: bool) -> TrainData:
    rows = list(_seed_rows(run)) if with_seeds else []
    for row in export_rows(run, answers):
        proposal = ids.proposal_of(row.instruction_id)
        user = user_text(row.instruction, row.input)
        rows.append(TrainRow(row.id, row.instruction, user, row.output, row.round, proposal))
    config = stored_config(run)
    return TrainData(rows, config.novelty.audit_floor, config.rules_version)


def _seed_rows(run: Run) -> Iterator[TrainRow]:
    for seed in stored_inputs(run).seeds:
        for number, instance in enumerate(seed.instances):
            user = user_text(seed.instruction, instance.input)
            id = ids.example(seed.pool_id, number)
            yield TrainRow(id, seed.instruction, user, instance.output)


def _file_rows(path: Path) -> list[TrainRow]:
    rows: list[TrainRow] = []
    layouts = " or ".join("{" + ", ".join(map(json.dumps, keys)) + "}" for keys in _LAYOUTS)
    for number, line in read_objects(path, "--data"):
        where = f"{path}:{number}"
        try:
            tasks = _line_tasks(line)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{where}: cannot be read as a training row ({why(error)}); give {layouts}"
            ) from error
        for place, (instruction, user, answer) in enumerate(tasks):
            if not user.strip() or not answer.strip():
                raise ConfigError(
                    f"{where}: has no prompt or no answer; give both, or drop the line"
                )
            rows.append(TrainRow(ids.example(ids.line(number), place), instruction, user, answer))
    return rows


def _instances(line: Mapping[str, Any]) -> list[_Task]:
    instruction = _text(line["instruction"])
    tasks = []
    for instance in line["instances"]:
        if not isinstance(instance, dict):
            raise TypeError(f"an instance is no object but {json.dumps(instance)[:60]}")
        user = user_text(instruction, _text(instance.get("input") or ""))
        tasks.append((instruction, user, _text(instance["output"])))
    return tasks


def _messages(line: Mapping[str, Any]) -> list[_Task]:
    return [_turns(line["messages"], "role", "content", ("user", "assistant"))]


def _conversations(line: Mapping[str, Any]) -> list[_Task]:
    return [_turns(line["conversations"], "from", "value", ("human", "gpt"))]


def _prompt(line: Mapping[str, Any]) -> list[_Task]:
    prompt, completion = line["prompt"], line["completion"]
    if isinstance(prompt, list):
        return [_turns([*prompt, *completion], "role", "content", ("user", "assistant"))]
    # `export` writes the whole prompt of a base model, which contains what the user wrote.
    user = unframed(_text(prompt))
    return [(user, user, _text(completion).strip())]


def _instruction(line: Mapping[str, Any]) -> list[_Task]:
    input = _text(line.get("input") or "")
    instruction = _text(line["instruction"])
    return [(instruction, user_text(instruction, input), _text(line["output"]))]


# A line has the first of these layouts whose first key it has.
_LAYOUTS: dict[tuple[str, ...], Callable[[Mapping[str, Any]], list[_Task]]] = {
    ("instances", "instruction"): _instances,
    ("messages",): _messages,
    ("conversations",): _conversations,
    ("prompt", "completion"): _prompt,
    ("instruction", "input", "output"): _instruction,
}


def _line_tasks(line: Mapping[str, Any]) -> list[_Task]:
    """Return the tasks of a line.

    Raises:
        KeyError, TypeError, ValueError: it has none of the layouts.
    """
    read = next((read for keys, read in _LAYOUTS.items() if keys[0] in line), _instruction)
    return read(line)


def _turns(turns: Any, role: str, content: str, roles: tuple[str, str]) -> _Task:
    """Return the task of a conversation that is one turn of the user and one of the assistant."""
    if not isinstance(turns, list) or [turn[role] for turn in turns] != list(roles):
        raise ValueError(
            f"a row is one turn of {roles[0]} and one of {roles[1]}, without others (a system "
            "prompt, earlier turns): they would not be learnt"
        )
    user, answer = (_text(turn[content]) for turn in turns)
    return user, user, answer


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"is no text but {json.dumps(value)[:60]}")
    return value


def split_rows(data: TrainData, share: float) -> Split:
    """Hold out the last proposals for validation, without near neighbours in training.

    Proposals stay whole, and the last ones go first. No earlier proposal has seen their tasks, so
    nothing in training descends from them. For a file, the last rows are held out. A validation
    row is left out of both parts if its instruction is a near neighbour of one in training.

    Args:
        data: all rows.
        share: of the rows to hold out, about.
    """
    validation_rows = round(share * len(data.rows))
    groups: dict[str, list[TrainRow]] = {}
    for row in data.rows:
        groups.setdefault(row.proposal or row.id, []).append(row)
    order = sorted(groups.values(), key=lambda group: group[0].round)
    held: list[TrainRow] = []
    while (
        len(order) > 1 and len(held) < validation_rows and not order[-1][0].id.startswith("seed:")
    ):
        held = order.pop() + held
    kept = {row.id for group in order for row in group}
    train = [row for row in data.rows if row.id in kept]
    index = NoveltyIndex(data.near_above, NoveltyConfig().tokenizer, data.rules_version)
    index.add_all((row.id, row.instruction) for row in train)
    near = [row for row in held if index.nearest(row.instruction) is not None]
    apart = {row.id for row in near}
    return Split(train, [row for row in held if row.id not in apart], near)
