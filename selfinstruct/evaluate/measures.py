"""What is measured of one answer, and the mean of it over tasks.

Each measure is one function of task and answer; NaN where it does not apply, and then the task
is left out of the mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import Any

from selfinstruct.evaluate.answers import Answer
from selfinstruct.evaluate.tasks import EvalTask
from selfinstruct.filters.text import repetition
from selfinstruct.records import NAN

Measure = Callable[[EvalTask, Answer], float]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_QUOTES = re.compile('["“”„«»]')


def rouge_l(task: EvalTask, answer: Answer) -> float:
    """ROUGE-L F-measure with the reference, words stemmed (the paper, §5.2), in [0, 1]."""
    return rouge_f(task.reference, answer.text)


def rouge_l_cut(task: EvalTask, answer: Answer) -> float:
    """ROUGE-L of the answer cut to as many words as the reference has.

    The same length for every model: learning to stop raises `rouge_l`, and not this.
    """
    words = len(task.reference.split())
    return rouge_f(task.reference, " ".join(answer.text.split()[:words]))


def exact_match(task: EvalTask, answer: Answer) -> float:
    """Whether a closed answer is the reference, but for case, articles and a full stop."""
    if not task.closed:
        return NAN
    return float(normalised(answer.text) == normalised(task.reference))


def reference_logprob(task: EvalTask, answer: Answer) -> float:
    """Mean log-likelihood of the reference, in nats per token."""
    return answer.reference_logprob


def length(task: EvalTask, answer: Answer) -> float:
    """Words of the answer."""
    return float(len(answer.text.split()))


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


def measure(tasks: Sequence[EvalTask], answers: Sequence[Answer]) -> dict[str, list[float]]:
    """Return every measure of every task, in the order of the tasks: means over its samples.

    Args:
        tasks: what was asked.
        answers: as many of each task as of any other, in the order of the tasks.
    """
    samples = len(answers) // len(tasks)
    grouped = [answers[start : start + samples] for start in range(0, len(answers), samples)]
    pairs = list(zip(tasks, grouped, strict=True))
    return {
        name: [mean([_known(one, task, answer) for answer in own]) for task, own in pairs]
        for name, one in MEASURES.items()
    }


def _known(measure: Measure, task: EvalTask, answer: Answer) -> float:
    """Return a measure of an answer; NaN, and not zero, where the model could not be asked."""
    return measure(task, answer) if answer.error is None else NAN


def mean(values: Sequence[float]) -> float:
    """Return the mean of what is known, or NaN."""
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else NAN


def normalised(text: str) -> str:
    """Return an answer without case, articles, quotation marks and a final full stop.

    Emphasis and code marks around the whole of it are none of its words either. An article
    that is the whole answer stays.
    """
    folded = _QUOTES.sub(" ", text.casefold().replace("’", "'")).strip(" \n\t.*_`'")
    bare = " ".join(_ARTICLES.sub(" ", folded).split())
    return bare or folded


def rouge_f(reference: str, text: str) -> float:
    """Return the ROUGE-L F-measure of two texts, words stemmed, in [0, 1]."""
    return float(_scorer().score(reference, text)["rougeL"].fmeasure)


@lru_cache(maxsize=1)
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)
