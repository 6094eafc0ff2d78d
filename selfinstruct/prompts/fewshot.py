"""Choose the worked tasks that few-shot prompts show: the user's seeds, then shipped ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from selfinstruct.common.records import SeedTask

# Short exemplars keep the shared part of the prompts short, and with it every prefill.
_MAX_WORDS = 90
_MAX_INSTANCES = 3
_LEAST_OUTPUT = 20

Exemplar = dict[str, Any]


@dataclass(frozen=True)
class FewShot:
    """What each stage shows: fixed for a run, so that the prompts share their start."""

    classify: list[Exemplar]
    with_input: list[Exemplar]
    without_input: list[Exemplar]
    classification: list[Exemplar]


def choose_fewshot(
    seeds: Sequence[SeedTask],
    shipped: Sequence[SeedTask],
    rng: random.Random,
    *,
    for_classify: int,
    for_instances: int,
) -> FewShot:
    """Draw compact exemplars from the seeds; top up with the shipped ones where they lack."""
    own = [seed for seed in rng.sample(list(seeds), len(seeds)) if _is_compact(seed)]
    known = {seed.instruction for seed in own}
    tasks = [*own, *(task for task in shipped if task.instruction not in known)]
    labelled = [t for t in tasks if t.is_classification and all(i.input for i in t.instances)]
    free = [t for t in tasks if t.is_classification is False]
    half = for_classify // 2
    # In turn, the last one free text: in another order a small model calls everything a
    # label, or nothing (measured, docs/engine.md).
    turns = zip_longest(labelled[:half], free[: for_classify - half])
    mixed = [task for pair in turns for task in pair if task is not None]
    told = _told_first(free)
    return FewShot(
        classify=[_worked(task) for task in mixed],
        with_input=[_worked(t) for t in told if t.instances[0].input][:for_instances],
        without_input=[_worked(t) for t in told if not t.instances[0].input][:for_instances],
        classification=[_worked(task) for task in labelled[:for_instances]],
    )


def _told_first(tasks: list[SeedTask]) -> list[SeedTask]:
    """Put tasks with an output of some sentences first: a model writes as much as it is shown."""
    return sorted(tasks, key=lambda t: len(t.instances[0].output.split()) < _LEAST_OUTPUT)


def _is_compact(seed: SeedTask) -> bool:
    if not seed.instances:
        return False
    texts = [seed.instruction]
    for instance in seed.instances[:_MAX_INSTANCES]:
        texts += [instance.input, instance.output]
    return sum(len(text.split()) for text in texts) <= _MAX_WORDS


def _worked(task: SeedTask) -> Exemplar:
    first = task.instances[0]
    return {
        "instruction": task.instruction,
        "is_classification": bool(task.is_classification),
        "input": first.input,
        "output": first.output,
        "instances": [
            {"input": one.input, "output": one.output} for one in task.instances[:_MAX_INSTANCES]
        ],
    }
