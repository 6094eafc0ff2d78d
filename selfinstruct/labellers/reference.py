"""The labeller `reference`: the accepted output of a task against the policy's own answers."""

from __future__ import annotations

from selfinstruct.common import ids
from selfinstruct.filters.length import count_words
from selfinstruct.filters.similarity import rouge_f
from selfinstruct.labellers.base import (
    RUN,
    Labelled,
    Labeller,
    Labelling,
    Needs,
    ScoredAnswer,
    TaskPrompt,
    score_each,
)


def label(labelling: Labelling) -> Labelled:
    """Score answers by their ROUGE-L with the accepted output, which is put first, with 1."""
    scored = score_each(labelling, lambda prompt, answer: rouge_f(prompt.reference, answer.text))
    answers = {prompt.id: [_reference(prompt), *scored[prompt.id]] for prompt in labelling.prompts}
    return Labelled(answers, may_pair=_one_is_the_reference)


def _reference(prompt: TaskPrompt) -> ScoredAnswer:
    words = count_words(prompt.reference)
    return ScoredAnswer(
        ids.reference(prompt.id), prompt.id, prompt.reference, words, True, RUN, 1.0
    )


def _one_is_the_reference(first: ScoredAnswer, second: ScoredAnswer) -> bool:
    return (first.source == RUN) != (second.source == RUN)


REFERENCE = Labeller(
    name="reference",
    help="ROUGE-L with the task's accepted output",
    details=(
        "`prefer` pairs the accepted output with the policy's own answers, the lowest ROUGE-L "
        "first. `best-of` can measure with it but not choose with it: that would use the "
        "solution to choose"
    ),
    needs=Needs.REFERENCE,
    label=label,
)
