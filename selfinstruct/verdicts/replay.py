"""Judge the recorded completions of a run again, and compare with the recorded verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from selfinstruct.common.records import Markers
from selfinstruct.config.schema import RunConfig
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.prompts import PromptLibrary
from selfinstruct.store import Run
from selfinstruct.store.answers import (
    answer_batches,
    read_answer_completions,
    read_answers,
    verify_answers,
)
from selfinstruct.store.calibration import calibration_starts
from selfinstruct.store.supplements import (
    Supplement,
    current_round,
    read_completed,
    read_supplements,
)
from selfinstruct.verdicts.later import verdict_on_answer, verdicts_of_supplement
from selfinstruct.verdicts.pool import PoolKeeper
from selfinstruct.verdicts.rounds import verdicts_of_round

# Columns that older runs do not have: of before Unicode words, of before the likelihood filter.
_ADDED = {"novelty_tokenizer", "kind"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of a candidate that came out otherwise; `field` is `row` for one without a peer."""

    id: str
    field: str
    recorded: Any
    replayed: Any


def replay(run: Run, advance: Callable[[int], object] = id) -> list[Difference]:
    """Return every difference between the recorded verdicts and those of a fresh judgement.

    Args:
        run: the run; its stored config, seeds and templates are used.
        advance: told of each round that is done.
    """
    config, inputs = stored_config(run), stored_inputs(run)
    keeper = PoolKeeper(inputs.first_pool, config, calibration_starts(run))
    tasks = 0
    differences: list[Difference] = []
    for number in run.rounds():
        recorded = run.read_round(number)
        room = recorded.info["target"] - tasks
        verdicts = verdicts_of_round(
            recorded.completions, number, config, inputs.prompts, keeper.standards, room=room
        )
        differences += _compare(recorded.instructions, verdicts.instructions)
        differences += _compare(recorded.instances, verdicts.instances)
        tasks += verdicts.tasks
        keeper.close_round(verdicts.instructions)
        advance(number)
    for supplement in read_supplements(run):
        thresholds = keeper.standards.thresholds
        differences += _replay_supplement(run, supplement, config, inputs.prompts, thresholds)
    return differences + _replay_answers(run, config, inputs.prompts.markers)


def _replay_supplement(
    run: Run,
    supplement: Supplement,
    config: RunConfig,
    prompts: PromptLibrary,
    thresholds: LikelihoodThresholds,
) -> list[Difference]:
    """Judge instances again that were written later."""
    ids = {row.id for row in supplement.instructions}
    numbers = sorted({row.round for row in supplement.instructions})
    rows = [row for number in numbers for row in run.instructions(number) if row.id in ids]
    last = supplement.info["last_round"]
    judged = verdicts_of_supplement(
        rows, supplement.completions, last, config, prompts, thresholds, supplement.restored
    )
    return [
        *_compare(supplement.instructions, judged.instructions),
        *_compare(supplement.instances, judged.instances),
    ]


def _replay_answers(run: Run, config: RunConfig, markers: Markers) -> list[Difference]:
    """Judge the recorded answers of other models again."""
    verify_answers(run)
    batches = answer_batches(run)
    if not batches:
        return []
    completed = read_completed(run)
    rounds = [current_round(run, number, completed) for number in run.rounds()]
    tasks = {row.id: row.text for instructions, _ in rounds for row in instructions}
    answered = {row.id: row for _, instances in rounds for row in instances}
    differences: list[Difference] = []
    for number in batches:
        recorded = read_answers(run, number)
        by_id = {c.id: c for c in read_answer_completions(run, number)}
        judged = [
            verdict_on_answer(
                tasks[row.instruction_id],
                answered[row.answer_to],
                by_id[row.completion_id],
                config,
                markers,
            )
            for row in recorded
            if row.answer_to in answered and row.completion_id in by_id
        ]
        differences += _compare(recorded, judged)
    return differences


def _compare(recorded: Sequence[Any], replayed: Sequence[Any]) -> list[Difference]:
    before = {row.id: row for row in recorded}
    after = {row.id: row for row in replayed}
    differences = []
    for id in sorted({*before, *after}):
        one, other = before.get(id), after.get(id)
        if one is None or other is None:
            differences.append(Difference(id, "row", one is not None, other is not None))
            continue
        for field in fields(one):
            first, second = getattr(one, field.name), getattr(other, field.name)
            if first is None and field.name in _ADDED:
                continue
            if not _equal(first, second):
                differences.append(Difference(id, field.name, first, second))
    return differences


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return bool(first == second)
