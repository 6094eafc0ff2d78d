"""Training rows: reads them from a run or a file, holds some out, and decontaminates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.jsonlines import read_objects
from selfinstruct.config.schema import NoveltyConfig
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.filters.ngrams import ngrams
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.prompts.canonical import unframed, user_text
from selfinstruct.store import open_run, run_exists


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
class Split:
    """Rows to train on, rows to validate with, and rows that are too near to the former."""

    train: list[TrainRow]
    validation: list[TrainRow]
    near: list[TrainRow]


@dataclass(frozen=True, slots=True)
class Contamination:
    """A removed row, the text that it repeats, and how it does: `rouge_l` or `13-gram`."""

    row: TrainRow
    text: str
    how: str


def read_rows(
    data: Path, *, answers: Answers = Answers.OWN, with_seeds: bool = False
) -> list[TrainRow]:
    """Read training rows from a run's folder or a file.

    Files are JSON lines: messages, prompt-completion, alpaca or sharegpt, as `export` writes
    them, or tasks with instances, as in seed files.

    Args:
        data: the folder or file.
        answers: for a run, whose outputs to learn.
        with_seeds: put the run's seed tasks before its own.

    Raises:
        ConfigError: there is none, or a line cannot be used. Names file, line and fix.
    """
    if data.is_dir():
        if not run_exists(data):
            raise ConfigError(f"{data}: is no run; give a run's folder or a file as --data")
        rows = _run_rows(data, answers, with_seeds)
    else:
        if with_seeds:
            raise ConfigError(f"{data}: is a file, which has no seeds; leave --with-seeds out")
        rows = _file_rows(data)
    if not rows:
        raise ConfigError(f"{data}: holds no task to train on; generate some first")
    return rows


def _run_rows(path: Path, answers: Answers, with_seeds: bool) -> list[TrainRow]:
    run = open_run(path)
    rows = []
    if with_seeds:
        for seed in stored_inputs(run).seeds:
            for number, instance in enumerate(seed.instances):
                user = user_text(seed.instruction, instance.input)
                id = ids.example(seed.pool_id, number)
                rows.append(TrainRow(id, seed.instruction, user, instance.output))
    for row in export_rows(run, answers):
        proposal = ids.proposal_of(row.instruction_id)
        user = user_text(row.instruction, row.input)
        rows.append(TrainRow(row.id, row.instruction, user, row.output, row.round, proposal))
    return rows


def _file_rows(path: Path) -> list[TrainRow]:
    rows: list[TrainRow] = []
    for number, data in read_objects(path, "--data"):
        where = f"{path}:{number}"
        try:
            tasks = [_pair(data)] if "instances" not in data else _instances(data)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{where}: cannot be read as a training row ({type(error).__name__}: {error}); "
                'give {"messages"}, {"prompt", "completion"}, {"instruction", "input", "output"}, '
                '{"conversations"} or {"instruction", "instances"}'
            ) from error
        for place, (instruction, user, answer) in enumerate(tasks):
            if not user.strip() or not answer.strip():
                raise ConfigError(
                    f"{where}: has no prompt or no answer; give both, or drop the line"
                )
            rows.append(TrainRow(ids.example(ids.line(number), place), instruction, user, answer))
    return rows


def _pair(data: dict[str, Any]) -> tuple[str, str, str]:
    """Return (instruction, what a user writes, answer) of one line."""
    if "messages" in data:
        user, answer = _turns(data["messages"], "role", "content", ("user", "assistant"))
        return user, user, answer
    if "conversations" in data:
        user, answer = _turns(data["conversations"], "from", "value", ("human", "gpt"))
        return user, user, answer
    if "prompt" in data:
        prompt, completion = data["prompt"], data["completion"]
        if isinstance(prompt, list):
            user, answer = _turns([*prompt, *completion], "role", "content", ("user", "assistant"))
            return user, user, answer
        # `export` writes the whole prompt of a base model, which contains what the user wrote.
        user = unframed(_text(prompt))
        return user, user, _text(completion).strip()
    input = _text(data.get("input") or "")
    instruction = _text(data["instruction"])
    return instruction, user_text(instruction, input), _text(data["output"])


def _turns(turns: Any, role: str, content: str, roles: tuple[str, str]) -> tuple[str, str]:
    """Return what the user and the assistant say, if that is the whole conversation."""
    if not isinstance(turns, list) or [turn[role] for turn in turns] != list(roles):
        raise ValueError(
            f"a row is one turn of {roles[0]} and one of {roles[1]}, without others (a system "
            "prompt, earlier turns): they would not be learnt"
        )
    return _text(turns[0][content]), _text(turns[1][content])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"is no text but {json.dumps(value)[:60]}")
    return value


def _instances(data: dict[str, Any]) -> list[tuple[str, str, str]]:
    instruction = _text(data["instruction"])
    tasks = []
    for instance in data["instances"]:
        if not isinstance(instance, dict):
            raise TypeError(f"an instance is no object but {json.dumps(instance)[:60]}")
        user = user_text(instruction, _text(instance.get("input") or ""))
        tasks.append((instruction, user, _text(instance["output"])))
    return tasks


def split_rows(rows: Sequence[TrainRow], share: float, near_above: float) -> Split:
    """Hold out the last proposals for validation, without near neighbours in training.

    Proposals stay whole, and the last ones go first. No earlier proposal has seen their tasks, so
    nothing in training descends from them. For a file, the last rows are held out.

    Args:
        rows: all rows, in the order in which they were written.
        share: of the rows to hold out, about.
        near_above: a validation row is left out of both parts if its instruction has a ROUGE-L
            above this with an instruction in training.
    """
    validation_rows = round(share * len(rows))
    groups: dict[str, list[TrainRow]] = {}
    for row in rows:
        groups.setdefault(row.proposal or row.id, []).append(row)
    order = sorted(groups.values(), key=lambda group: group[0].round)
    held: list[TrainRow] = []
    while (
        len(order) > 1 and len(held) < validation_rows and not order[-1][0].id.startswith("seed:")
    ):
        held = order.pop() + held
    kept = {row.id for group in order for row in group}
    train = [row for row in rows if row.id in kept]
    index = NoveltyIndex(near_above, NoveltyConfig().tokenizer)
    index.add_all((row.id, row.instruction) for row in train)
    near = [row for row in held if index.nearest(row.instruction, near_above) is not None]
    apart = {row.id for row in near}
    return Split(train, [row for row in held if row.id not in apart], near)


def near_threshold(data: Path) -> float:
    """Return the ROUGE-L above which two instructions of this data are neighbours."""
    if data.is_dir() and run_exists(data):
        return stored_config(open_run(data)).novelty.audit_floor
    return NoveltyConfig().audit_floor


def decontaminate(
    rows: Sequence[TrainRow], texts: Iterable[str], threshold: float
) -> tuple[list[TrainRow], list[Contamination]]:
    """Remove rows that repeat a text of an evaluation.

    Args:
        rows: training rows.
        texts: instructions (and inputs) of the evaluation.
        threshold: a row is removed if its instruction has a ROUGE-L above this with a text. A
            row that shares 13 words in sequence with a text is removed too.
    """
    avoided = list(texts)
    index = NoveltyIndex(threshold, NoveltyConfig().tokenizer)
    index.add_all((str(number), text) for number, text in enumerate(avoided))
    grams = {gram: text for text in avoided for gram in ngrams(text)}
    kept: list[TrainRow] = []
    removed: list[Contamination] = []
    for row in rows:
        match = index.nearest(row.instruction, threshold)
        shared = next((g for g in ngrams(f"{row.user}\n{row.answer}") if g in grams), None)
        if match is not None:
            removed.append(Contamination(row, avoided[int(match.id)], "rouge_l"))
        elif shared is not None:
            removed.append(Contamination(row, grams[shared], "13-gram"))
        else:
            kept.append(row)
    return kept, removed
