"""Choose the worked tasks that few-shot prompts show: the user's seeds, then shipped ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from selfinstruct.common.records import SeedTask
from selfinstruct.filters.length import count_words
from selfinstruct.prompts.forms import Fixed

# Short exemplars keep the shared start of the prompts short, and so every prefill.
_MAX_WORDS = 90
_MAX_INSTANCES = 3
_LEAST_OUTPUT = 20

Exemplar = dict[str, Any]


@dataclass(frozen=True)
class FewShot:
    """The exemplars of each stage: fixed for a run, so that its prompts share their start."""

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
    count: Callable[[str], int] = count_words,
) -> FewShot:
    """Draw compact exemplars from the seeds; add shipped ones where the seeds are too few.

    Args:
        seeds: the run's seed tasks.
        shipped: exemplars of the templates.
        rng: for the draw.
        for_classify: number of exemplars for classification.
        for_instances: number of exemplars for instances, of each kind.
        count: returns the number of words of a text.
    """
    own = [seed for seed in rng.sample(list(seeds), len(seeds)) if _is_compact(seed, count)]
    instructions = {seed.instruction for seed in own}
    tasks = [*own, *(task for task in shipped if task.instruction not in instructions)]
    labelled = [t for t in tasks if t.is_classification and all(i.input for i in t.instances)]
    free = [t for t in tasks if t.is_classification is False]
    half = for_classify // 2
    # They alternate, and the last one is free text. In another order a small model calls
    # everything a label, or nothing (measured, docs/engine.md).
    turns = zip_longest(labelled[:half], free[: for_classify - half])
    mixed = [task for pair in turns for task in pair if task is not None]
    long_first = _long_first(free, count)
    return FewShot(
        classify=_all_worked(mixed),
        with_input=_all_worked([t for t in long_first if t.instances[0].input][:for_instances]),
        without_input=_all_worked(
            [t for t in long_first if not t.instances[0].input][:for_instances]
        ),
        classification=_all_worked(labelled[:for_instances]),
    )


def _long_first(tasks: list[SeedTask], count: Callable[[str], int]) -> list[SeedTask]:
    """Put tasks with longer outputs first: a model writes as much as the prompt shows."""
    return sorted(tasks, key=lambda t: count(t.instances[0].output) < _LEAST_OUTPUT)


def _is_compact(seed: SeedTask, count: Callable[[str], int]) -> bool:
    if not seed.instances:
        return False
    texts = [seed.instruction]
    for instance in seed.instances[:_MAX_INSTANCES]:
        texts += [instance.input, instance.output]
    return sum(map(count, texts)) <= _MAX_WORDS


def _all_worked(tasks: Sequence[SeedTask]) -> Fixed:
    return Fixed(map(_worked, tasks))


def _worked(task: SeedTask) -> Exemplar:
    first = task.instances[0]
    return {
        "instruction": task.instruction,
        "is_classification": bool(task.is_classification),
        "input": first.input,
        "output": first.output,
        "instances": [
            {"input": instance.input, "output": instance.output}
            for instance in task.instances[:_MAX_INSTANCES]
        ],
    }
