"""Training rows: reads them from a run or a file, and holds some out for validation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.paths import user_path
from selfinstruct.common.versions import RULES_VERSION
from selfinstruct.config.schema import NoveltyConfig
from selfinstruct.dataset.read import read_any
from selfinstruct.dataset.rows import Answers, export_rows
from selfinstruct.decisions.overrides import refuse_damaged
from selfinstruct.filters.novelty.index import NoveltyIndex
from selfinstruct.inputs.data_row import BadRowError, DataRow
from selfinstruct.inputs.purposes import SFT
from selfinstruct.inputs.read_data import AS_IT_IS, ReadAs
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.prompts.canonical import user_text
from selfinstruct.store import Run, open_run, run_exists
from selfinstruct.train.data.turns import (
    TrainRow,
    conversation_row,
    learnable,
    task_row,
    turns_of,
)


@dataclass(frozen=True)
class TrainData:
    """The rows of a run or a file, in the order in which they were written.

    near_above: the ROUGE-L above which two of their instructions are near neighbours.
    rules_version: version of the rules by which instructions are split into words.
    name: of the run or file; on the hub with its commit.
    """

    rows: list[TrainRow]
    near_above: float
    rules_version: int = RULES_VERSION
    name: str = ""


@dataclass(frozen=True)
class Split:
    """Rows to train on, rows to validate with, and rows that are too near to the former.

    `sources` says what each part of a mixture gave (`mixture.MixedPart`).
    """

    train: list[TrainRow]
    validation: list[TrainRow]
    near: list[TrainRow]
    sources: tuple[Any, ...] = ()


def read_rows(
    data: str | Path,
    *,
    answers: Answers = Answers.OWN,
    with_seeds: bool = False,
    reading: ReadAs = AS_IT_IS,
    option: str = "--data",
) -> TrainData:
    """Read training rows from a run, or from data in any format with answers.

    Args:
        data: a run's folder, a file, a folder of data, or a name on the hub.
        answers: for a run, whose outputs to learn.
        with_seeds: put the run's seed tasks before its own.
        reading: how to read a file.
        option: the option that named it, for messages.

    Raises:
        ConfigError: there is none, or a line cannot be used. Names file, line and fix.
        StoreError: the run is damaged.
    """
    path = user_path(data, option)
    if run_exists(path):
        run = open_run(path)
        refuse_damaged(run)
        train_data = _read_run(run, answers, with_seeds)
    else:
        if with_seeds:
            raise ConfigError(f"{data}: is not a run, so it has no seeds; leave --with-seeds out")
        file = read_any(data, option, reading)
        rows = file.converted(SFT, _row)
        train_data = TrainData(rows, NoveltyConfig().audit_floor, name=file.name)
    if not train_data.rows:
        whose = "" if answers is Answers.OWN else f" with an accepted answer (--answers {answers})"
        raise ConfigError(f"{data}: holds no task{whose} to train on; generate some first")
    return train_data


def _read_run(run: Run, answers: Answers, with_seeds: bool) -> TrainData:
    rows = list(_seed_rows(run)) if with_seeds else []
    for row in export_rows(run, answers, conversations=answers is Answers.OWN):
        proposal = ids.proposal_of(row.instruction_id)
        user = user_text(row.instruction, row.input)
        task = task_row(row.id, row.instruction, user, row.output, row.round, proposal)
        whole = (*task.messages, *row.turns)
        rows.append(replace(task, messages=whole, item=row.item or "", shown=row.shown))
    config = stored_config(run)
    return TrainData(rows, config.novelty.audit_floor, config.rules_version, str(run.path))


def _seed_rows(run: Run) -> Iterator[TrainRow]:
    for seed in stored_inputs(run).seeds:
        for number, instance in enumerate(seed.instances):
            user = user_text(seed.instruction, instance.input)
            id = ids.example(seed.pool_id, number)
            yield task_row(id, seed.instruction, user, instance.output)


def _row(row: DataRow) -> TrainRow:
    """Return what a model learns from a row.

    Raises:
        BadRowError: it has no prompt or no answer, or no template could show its turns.
    """
    if row.answer is None or not row.user.strip():
        raise BadRowError(
            row.where,
            f"has no prompt or no answer (read as {row.format}); give both, or drop the row",
            "no prompt or no answer",
        )
    try:
        turns = learnable(turns_of([dict(turn) for turn in (*row.prompt, *row.answer)]))
    except ValueError as error:
        raise BadRowError(row.where, str(error), "conversation") from error
    learnt = replace(conversation_row(row.line_id, turns), tools=row.tools)
    return learnt if row.instruction is None else replace(learnt, instruction=row.instruction)


def split_rows(data: TrainData, share: float) -> Split:
    """Hold out the last proposals for validation, without near neighbours in training.

    Proposals stay whole, and the last ones go first. No earlier proposal has seen their tasks, so
    nothing in training descends from them. For a file, the last rows are held out. A validation
    row is left out of both parts if its instruction is a near neighbour of one in training.

    Imported rows are held out by items: all that was made of one row of the data set is on one
    side (`_split_items`).

    Args:
        data: all rows.
        share: of the rows to hold out, about.
    """
    imported = [row for row in data.rows if row.item]
    own = _split_proposals(replace(data, rows=[row for row in data.rows if not row.item]), share)
    if not imported:
        return own
    items = _split_items(imported, share)
    learnt = {row.id for row in [*own.train, *items.train]}
    train = [row for row in data.rows if row.id in learnt]
    held = [*own.validation, *items.validation]
    apart, near = without_near(held, replace(data, rows=train))
    return Split(train, apart, [*own.near, *near, *items.near])


def _split_items(rows: Sequence[TrainRow], share: float) -> Split:
    """Hold out items of a data set, drawn by their ids, with all rows that were made of them.

    The forms of a template have the same words for every item, so their rows are no near
    neighbours for that. `near` has the training rows that show a held-out item as a worked example,
    and the held-out rows that ask what a training row asks.
    """
    items = sorted({row.item for row in rows})
    random.Random(derive_seed(len(items), "held-out items")).shuffle(items)
    sizes = Counter(row.item for row in rows)
    held: set[str] = set()
    while len(held) < len(items) - 1 and sum(sizes[item] for item in held) < round(
        share * len(rows)
    ):
        held.add(items[len(held)])
    shows = [row for row in rows if row.item not in held and held.intersection(row.shown)]
    leaks = {row.id for row in shows}
    train = [row for row in rows if row.item not in held and row.id not in leaks]
    asked = {tuple(row.users) for row in train}
    kept = [row for row in rows if row.item in held]
    same = [row for row in kept if tuple(row.users) in asked]
    return Split(train, [row for row in kept if tuple(row.users) not in asked], [*shows, *same])


def _split_proposals(data: TrainData, share: float) -> Split:
    """Hold out the last proposals, or the last rows of a file; like `split_rows`."""
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
    apart, near = without_near(held, replace(data, rows=train))
    return Split(train, apart, near)


def without_near(
    rows: Sequence[TrainRow], train: TrainData
) -> tuple[list[TrainRow], list[TrainRow]]:
    """Return rows that are no near neighbours of training rows, and those that are.

    Imported rows are not compared with each other: `_split_items` keeps their items apart.
    """
    index = _index(train, train.rows)
    own = _index(train, [row for row in train.rows if not row.item])
    near = [(own if row.item else index).nearest(row.instruction) is not None for row in rows]
    apart = [row for row, is_near in zip(rows, near, strict=True) if not is_near]
    return apart, [row for row, is_near in zip(rows, near, strict=True) if is_near]


def _index(train: TrainData, rows: Sequence[TrainRow]) -> NoveltyIndex:
    index = NoveltyIndex(train.near_above, NoveltyConfig().tokenizer, train.rules_version)
    index.add_all((row.id, row.instruction) for row in rows)
    return index
