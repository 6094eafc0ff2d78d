"""pass@k: how often one of k answers passes the check of its task."""

from __future__ import annotations

import math
from collections.abc import Sequence

from selfinstruct.common.records import NAN
from selfinstruct.evaluate.answers import Answer
from selfinstruct.evaluate.checks import passes_check
from selfinstruct.evaluate.exact import LATEST, is_exact
from selfinstruct.evaluate.tasks import EvalTask


def has_check(task: EvalTask) -> bool:
    """Whether an answer to a task can be checked: by its check, or since it is closed."""
    return task.check is not None or task.closed


def passes(task: EvalTask, text: str, exact_version: int = LATEST) -> bool:
    """Whether an answer passes the check of its task; that of a closed one is its reference."""
    if task.check is None:
        return is_exact(text, task.reference, exact_version)
    return passes_check(text, task.check)


def pass_at(k: int, samples: int, passed: int) -> float:
    """Return the chance that one of k of the samples passes: 1 − C(n−c, k) / C(n, k).

    It is unbiased (Chen et al. 2021, arXiv:2107.03374, eq. 1).

    Args:
        k: at most as many as there are samples.
        samples: n.
        passed: c, how many of them pass.
    """
    return 1 - math.comb(samples - passed, k) / math.comb(samples, k)


def pass_rates(
    tasks: Sequence[EvalTask],
    answers: Sequence[Answer],
    at: Sequence[int],
    exact_version: int = LATEST,
) -> dict[str, list[float]]:
    """Return pass@k of every task by metric (`pass_at_1`); NaN where nothing can be checked.

    Args:
        tasks: what was asked.
        answers: as many of each task as of any other, in the order of the tasks.
        at: the values of k. Samples that could not be had do not count; with fewer than k others
            a task is left out.
        exact_version: of the rule for closed tasks without a check.
    """
    samples = len(answers) // len(tasks)
    rates: dict[str, list[float]] = {f"pass_at_{k}": [] for k in at}
    for number, task in enumerate(tasks):
        own = [
            answer
            for answer in answers[number * samples : (number + 1) * samples]
            if answer.error is None
        ]
        known = has_check(task)
        passed = sum(known and passes(task, answer.text, exact_version) for answer in own)
        for k in at:
            enough = known and len(own) >= k
            rates[f"pass_at_{k}"].append(pass_at(k, len(own), passed) if enough else NAN)
    return rates
