"""Whether a task is classification: its answer is one label from a small, fixed list.

The words of the instruction decide where they can, and no model is asked. Otherwise the model's
answer to a few-shot question decides, weighed against its answers about tasks of known kinds: a
model that calls everything a label is not believed (contextual calibration: Zhao et al. 2021,
arXiv:2102.09690; known tasks stand in for their content-free inputs, docs/engine.md says why). The
functions are pure: `audit replay` runs them again on the recorded completions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean

from selfinstruct.common import ids
from selfinstruct.common.records import Completion, Markers, Stage
from selfinstruct.common.versions import Versioned
from selfinstruct.prompts import PromptLibrary
from selfinstruct.verdicts.parse import PARSE_LABEL

# Log-odds, in nats, of an answer whose probability is not known.
_UNKNOWN = 1.0
_SUREST = 1e-6


def classifies(
    instruction: str,  # noqa: ARG001
    answer: Completion | None,
    references: Sequence[tuple[bool, Completion]],  # noqa: ARG001
    prompts: PromptLibrary,
) -> bool:
    """Whether the model's answer calls the task classification (versions 1 and 2)."""
    return answer is not None and PARSE_LABEL.at(1)(answer.text, prompts.markers)


def classifies_by_words(
    instruction: str,
    answer: Completion | None,
    references: Sequence[tuple[bool, Completion]],
    prompts: PromptLibrary,
) -> bool:
    """Whether a task is classification, by its words, or by the model's calibrated answer.

    The log-odds of a label must reach the middle between the mean log-odds of the references of
    both kinds. Where the language has rules on words and none matched, they must reach the mean of
    the labels: most of what is left then is free text.

    Args:
        instruction: its text.
        answer: what the model answered, if it was asked.
        references: for tasks of known kinds, whether they are classification, and the answers.
        prompts: the templates of the run, with the rules on words.
    """
    by_words = prompts.kind_of(instruction)
    if by_words is not None:
        return by_words
    odds = label_odds(answer, prompts.markers)
    of_labels = _mean_odds(references, prompts.markers, of_labels=True)
    of_texts = _mean_odds(references, prompts.markers, of_labels=False)
    if odds is None:
        return False
    if of_labels is None or of_texts is None:
        return odds > 0
    if of_labels <= of_texts:  # the model does not tell the kinds apart
        return odds > max(0.0, of_texts)
    least = of_labels if prompts.kind_rules else (of_labels + of_texts) / 2
    return odds >= least


def label_odds(answer: Completion | None, markers: Markers) -> float | None:
    """Return the log-odds, in nats, that an answer is a label; None if it is no answer.

    The log-odds of the word that was written, log p − log(1 − p), are those of a label against
    text where it is the label, and the opposite otherwise: the mass of the model lies on these two
    words. A word of p below 1/2 was still the likelier of the two, so its log-odds are 0.
    """
    if answer is None or not (text := answer.text.strip()):
        return None
    odds = _UNKNOWN
    if answer.token_logprobs is not None:
        logprob = min(_first_word_logprob(answer), -_SUREST)
        odds = max(0.0, logprob - math.log(-math.expm1(logprob)))
    is_label = text.casefold().startswith(markers.classification.casefold())
    return odds if is_label else -odds


def _first_word_logprob(answer: Completion) -> float:
    """Add up the log-probabilities of the tokens of the first word and of the space before it."""
    end = len(answer.text) - len(answer.text.lstrip()) + len(answer.text.split()[0])
    spans = zip(answer.token_starts, answer.token_logprobs or (), strict=True)
    return sum(logprob for start, logprob in spans if start < end)


def _mean_odds(
    references: Sequence[tuple[bool, Completion]], markers: Markers, *, of_labels: bool
) -> float | None:
    odds = [label_odds(answer, markers) for is_label, answer in references if is_label is of_labels]
    known = [value for value in odds if value is not None]
    return fmean(known) if known else None


def references_among(
    completions: Iterable[Completion], prompts: PromptLibrary
) -> list[tuple[bool, Completion]]:
    """Return the answers about exemplars of the templates, and whether these are classification."""
    return [
        (bool(prompts.exemplars[number].is_classification), completion)
        for completion in completions
        if completion.request.stage is Stage.CLASSIFY
        for number in [ids.known_task_number(completion.request.about)]
        if number is not None
    ]


def needs_no_answer(instruction: str, prompts: PromptLibrary) -> bool:
    """Whether the words of an instruction decide, so that the model need not be asked."""
    return prompts.kind_of(instruction) is not None


def never(instruction: str, prompts: PromptLibrary) -> bool:  # noqa: ARG001
    """Versions 1 and 2 ask the model about every instruction."""
    return False


CLASSIFIES = Versioned(classifies, (3, classifies_by_words))
NEEDS_NO_ANSWER = Versioned(never, (3, needs_no_answer))
