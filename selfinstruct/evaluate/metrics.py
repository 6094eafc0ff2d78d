"""What is measured of one answer, and the mean of it over tasks.

Each measure is one function of task and answer; NaN where it does not apply, and then the task
is left out of the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean

from selfinstruct.common.records import NAN
from selfinstruct.evaluate.answers import Answer
from selfinstruct.evaluate.exact import LATEST, is_exact
from selfinstruct.evaluate.tasks import EvalTask
from selfinstruct.filters.length import count_words, first_words
from selfinstruct.filters.similarity import rouge_f
from selfinstruct.filters.text import repetition

Measure = Callable[[EvalTask, Answer], float]


def rouge_l(task: EvalTask, answer: Answer) -> float:
    """ROUGE-L F-measure with the reference, words stemmed (the paper, §5.2), in [0, 1]."""
    return rouge_f(task.reference, answer.text) if task.reference else NAN


def rouge_l_cut(task: EvalTask, answer: Answer) -> float:
    """ROUGE-L of the answer cut to as many words as the reference has.

    What is said behind the end of an answer does not count. A shorter answer stays shorter: of
    two at one length, see `rouge_l_equal`.
    """
    if not task.reference:
        return NAN
    words = count_words(task.reference)
    return rouge_f(task.reference, first_words(answer.text, words))


def rouge_l_equal(task: EvalTask, answer: Answer, other: Answer) -> tuple[float, float]:
    """ROUGE-L of two answers, both cut to as many words as the shorter of them has.

    Neither learning to stop nor learning to go on raises it, but what is said in as many words.
    """
    if not task.reference:
        return NAN, NAN
    both = [answer.text, other.text]
    room = min(count_words(text) for text in both)
    first, second = (rouge_f(task.reference, first_words(text, room)) for text in both)
    return first, second


def equal_length(
    tasks: Sequence[EvalTask], answers: Sequence[Answer], others: Sequence[Answer]
) -> tuple[list[float], list[float]]:
    """Return `rouge_l_equal` of two models by task, means over the samples of each.

    NaN where either could not be asked.
    """
    samples = len(answers) // len(tasks)
    first: list[float] = []
    second: list[float] = []
    for number, task in enumerate(tasks):
        own = range(number * samples, (number + 1) * samples)
        pairs = [
            rouge_l_equal(task, answers[n], others[n])
            for n in own
            if answers[n].error is None and others[n].error is None
        ]
        first.append(mean([value for value, _ in pairs]))
        second.append(mean([value for _, value in pairs]))
    return first, second


def exact_match(task: EvalTask, answer: Answer, version: int = LATEST) -> float:
    """Whether a closed answer is the reference, by a version of `exact.VERSIONS`."""
    return float(is_exact(answer.text, task.reference, version)) if task.closed else NAN


def reference_logprob(task: EvalTask, answer: Answer) -> float:
    """Mean log-likelihood of the reference, in nats per token."""
    return answer.reference_logprob


def length(task: EvalTask, answer: Answer) -> float:
    """Words of the answer; in a script without spaces, its characters."""
    return float(count_words(answer.text))


def repetitive(task: EvalTask, answer: Answer) -> float:
    """Share of the answer's word trigrams that occurred before."""
    return repetition(answer.text)


def empty(task: EvalTask, answer: Answer) -> float:
    """Whether there is no answer."""
    return float(not answer.text)


def never_stopping(task: EvalTask, answer: Answer) -> float:
    """Whether the answer ran into the token limit."""
    return float(not answer.stopped)


MEASURES: Mapping[str, Measure] = {
    "rouge_l": rouge_l,
    "rouge_l_cut": rouge_l_cut,
    "exact_match": exact_match,
    "reference_logprob": reference_logprob,
    "length": length,
    "repetition": repetitive,
    "empty": empty,
    "never_stopping": never_stopping,
}


_OF_REFERENCES = ("rouge_l", "rouge_l_cut", "exact_match", "reference_logprob")


def measure(
    tasks: Sequence[EvalTask], answers: Sequence[Answer], exact_version: int = LATEST
) -> dict[str, list[float]]:
    """Return every measure of every task, in the order of the tasks: means over its samples.

    Args:
        tasks: what was asked.
        answers: as many of each task as of any other, in the order of the tasks.
        exact_version: of `exact_match`.
    """
    samples = len(answers) // len(tasks)
    measures: dict[str, Measure] = {**MEASURES}
    measures |= {"exact_match": partial(exact_match, version=exact_version)}
    if not any(task.reference for task in tasks):
        measures = {name: measures[name] for name in measures if name not in _OF_REFERENCES}
    grouped = [answers[start : start + samples] for start in range(0, len(answers), samples)]
    pairs = list(zip(tasks, grouped, strict=True))
    return {
        name: [mean([_known(value, task, answer) for answer in own]) for task, own in pairs]
        for name, value in measures.items()
    }


def _known(measure: Measure, task: EvalTask, answer: Answer) -> float:
    """Return a measure of an answer; NaN, and not zero, where the model could not be asked."""
    return measure(task, answer) if answer.error is None else NAN


def mean(values: Sequence[float]) -> float:
    """Return the mean of what is known, or NaN."""
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else NAN
