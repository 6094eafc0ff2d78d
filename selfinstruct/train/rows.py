"""Training rows: read from a run or a file, split off for validation, decontaminated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.jsonlines import read_objects
from selfinstruct.config.schema import NoveltyConfig
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.prompts.canonical import unframed, user_text
from selfinstruct.store import open_run, run_exists

# An overlap of so many words in a row is taken for a copy (GPT-3, arXiv:2005.14165, app. C).
_NGRAM = 13
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One task to learn: what a user writes, and the answer.

    `proposal` names what the task was written in one go with; rows of one proposal are never
    split. Empty for rows of a file and for seeds.
    """

    id: str
    instruction: str
    user: str
    answer: str
    round: int = 0
    proposal: str = ""


@dataclass(frozen=True)
class Split:
    """Rows to train on and to validate with, and what was left out between the two."""

    train: list[TrainRow]
    validation: list[TrainRow]
    near: list[TrainRow]


@dataclass(frozen=True, slots=True)
class Contamination:
    """A row that was removed, the text that it repeats, and how: `rouge_l` or `13-gram`."""

    row: TrainRow
    text: str
    how: str


def read_rows(
    data: Path, *, answers: Answers = Answers.OWN, with_seeds: bool = False
) -> list[TrainRow]:
    """Read training rows from a run's folder or a file.

    Files are JSON lines: messages, prompt-completion, alpaca or sharegpt as `export` writes
    them, or tasks with instances, as seed files have them.

    Args:
        data: the folder or file.
        answers: whose outputs, of a run.
        with_seeds: put the run's seed tasks before its own.

    Raises:
        ConfigError: there is none, or a line that cannot be used; names file, line and fix.
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
            for number, one in enumerate(seed.instances):
                user = user_text(seed.instruction, one.input)
                rows.append(
                    TrainRow(ids.example(seed.pool_id, number), seed.instruction, user, one.output)
                )
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
            found = [_pair(data)] if "instances" not in data else _instances(data)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{where}: cannot be read as a training row ({type(error).__name__}: {error}); "
                'give {"messages"}, {"prompt", "completion"}, {"instruction", "input", "output"}, '
                '{"conversations"} or {"instruction", "instances"}'
            ) from error
        for place, (instruction, user, answer) in enumerate(found):
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
        # `export` writes the whole prompt of a base model; what a user wrote stands in it.
        user = unframed(_text(prompt))
        return user, user, _text(completion).strip()
    given = _text(data.get("input") or "")
    instruction = _text(data["instruction"])
    return instruction, user_text(instruction, given), _text(data["output"])


def _turns(turns: Any, role: str, content: str, roles: tuple[str, str]) -> tuple[str, str]:
    """Return what the user and the assistant say, where that is all of the conversation."""
    if not isinstance(turns, list) or [one[role] for one in turns] != list(roles):
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
    found = []
    for one in data["instances"]:
        if not isinstance(one, dict):
            raise TypeError(f"an instance is no object but {json.dumps(one)[:60]}")
        user = user_text(instruction, _text(one.get("input") or ""))
        found.append((instruction, user, _text(one["output"])))
    return found


def split_rows(rows: Sequence[TrainRow], share: float, near_above: float) -> Split:
    """Split off the last proposals for validation, without near neighbours in training.

    Whole proposals, the last ones first: no proposal of theirs was shown to an earlier one,
    so nothing in training descends from them. Rows of a file are taken from its end.

    Args:
        rows: all rows, in the order in which they were written.
        share: of the rows, wanted for validation.
        near_above: a validation row whose instruction has a ROUGE-L above this with one in
            training is in neither part.
    """
    wanted = round(share * len(rows))
    groups: dict[str, list[TrainRow]] = {}
    for row in rows:
        groups.setdefault(row.proposal or row.id, []).append(row)
    order = sorted(groups.values(), key=lambda group: group[0].round)
    held: list[TrainRow] = []
    while len(order) > 1 and len(held) < wanted and not order[-1][0].id.startswith("seed:"):
        held = order.pop() + held
    kept = {row.id for group in order for row in group}
    train = [row for row in rows if row.id in kept]
    index = NoveltyIndex(near_above, NoveltyConfig().tokenizer)
    index.add_all((row.id, row.instruction) for row in train)
    near = [row for row in held if index.nearest(row.instruction, near_above) is not None]
    apart = {row.id for row in near}
    return Split(train, [row for row in held if row.id not in apart], near)


def near_threshold(data: Path) -> float:
    """Return the ROUGE-L above which two instructions are neighbours, for this data."""
    if data.is_dir() and run_exists(data):
        return stored_config(open_run(data)).novelty.audit_floor
    return NoveltyConfig().audit_floor


def decontaminate(
    rows: Sequence[TrainRow], texts: Iterable[str], threshold: float
) -> tuple[list[TrainRow], list[Contamination]]:
    """Remove rows that repeat a text of an evaluation.

    Args:
        rows: training rows.
        texts: instructions (and inputs) that will be evaluated on.
        threshold: ROUGE-L of the instructions above which a row goes; a row that shares 13
            words in a row with a text goes too.
    """
    avoided = list(texts)
    index = NoveltyIndex(threshold, NoveltyConfig().tokenizer)
    index.add_all((str(number), text) for number, text in enumerate(avoided))
    grams = {gram: text for text in avoided for gram in _ngrams(text)}
    kept: list[TrainRow] = []
    removed: list[Contamination] = []
    for row in rows:
        match = index.nearest(row.instruction, threshold)
        shared = next((g for g in _ngrams(f"{row.user}\n{row.answer}") if g in grams), None)
        if match is not None:
            removed.append(Contamination(row, avoided[int(match.id)], "rouge_l"))
        elif shared is not None:
            removed.append(Contamination(row, grams[shared], "13-gram"))
        else:
            kept.append(row)
    return kept, removed


def _ngrams(text: str) -> Iterable[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return (tuple(words[start : start + _NGRAM]) for start in range(len(words) - _NGRAM + 1))
