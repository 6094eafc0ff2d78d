"""The values of a model by task, by metric: their means, and the intervals of shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from selfinstruct.common.statistics import paired_difference, wilson
from selfinstruct.evaluate.answers import ModelAnswers, Questions
from selfinstruct.evaluate.behaviour import behaviour
from selfinstruct.evaluate.metrics import mean, measure
from selfinstruct.evaluate.pass_at import pass_rates
from selfinstruct.evaluate.plain_text import PASSAGE_MEASURES, perplexity
from selfinstruct.evaluate.rankings import CHOICE_MEASURES, PAIR_MEASURES
from selfinstruct.evaluate.titles import title_of
from selfinstruct.labellers import refusals

Values = Mapping[str, Sequence[float]]
"""Values by metric, in the order of the tasks, passages, questions or pairs that it is of."""


def values_of(
    asked: Questions,
    own: ModelAnswers,
    exact_version: int,
    refusal_version: int = refusals.LATEST,
) -> dict[str, list[float]]:
    """Return every metric of a model, by what it is measured on; NaN where it is not known."""
    values = measure(asked.tasks, own.answers, exact_version) if asked.tasks else {}
    if asked.tasks and asked.pass_at:
        values |= pass_rates(asked.tasks, own.answers, asked.pass_at, exact_version)
    if asked.tasks:
        values |= behaviour(asked.tasks, own.answers, refusal_version)
    if own.passages:
        for metric, of in PASSAGE_MEASURES.items():
            values[metric] = [of(passage) for passage in own.passages]
    for items, scores, measures in (
        (asked.choices, own.choices, CHOICE_MEASURES),
        (asked.pairs, own.pairs, PAIR_MEASURES),
    ):
        if items:
            pairs = list(zip(items, scores, strict=True))
            values |= {name: [of(*pair) for pair in pairs] for name, of in measures.items()}
    return values


def means_of(asked: Questions, own: ModelAnswers, values: Values) -> dict[str, float]:
    """Return the mean of every metric, and the perplexity of all passages together."""
    means = {metric: mean(of_tasks) for metric, of_tasks in values.items()}
    if own.passages:
        means["perplexity"] = perplexity(own.passages, asked.passages)
    return means


def intervals_of(values: Values) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of each share.

    Of what is right or wrong it is Wilson's; of values between (pass@k of a task) it is that of
    the bootstrap over tasks.
    """
    intervals = {}
    for metric, of_tasks in values.items():
        known = [value for value in of_tasks if not math.isnan(value)]
        if not known or not title_of(metric).share:
            continue
        if all(value in (0.0, 1.0) for value in known):
            intervals[metric] = wilson(sum(known), len(known))
        else:
            _, low, high, _ = paired_difference(known, [0.0] * len(known))
            intervals[metric] = low, high
    return intervals
