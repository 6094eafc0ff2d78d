"""Rules on scores: the likelihood that the model gives a text, and its novelty (the paper, §3.4).

The scores of every candidate are computed and recorded elsewhere; here they are compared with their
limits. A score of NaN (unscorable) is not a failure.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from selfinstruct.common.fields import Section, semantic
from selfinstruct.common.records import Kind
from selfinstruct.filters.likelihood import LikelihoodLimits, MaxLogprob
from selfinstruct.filters.rule import (
    Bound,
    InstanceFacts,
    InstructionFacts,
    Measure,
    Of,
    Rule,
    When,
)


class NoveltyLimits(Section):
    """When an instruction counts as a repeat of another."""

    threshold: float = semantic(
        0.7, "ROUGE-L F-measure above which an instruction is a repeat", ge=0, le=1
    )
    # Before this key existed, the nearest was recorded at any distance.
    audit_floor: float = semantic(
        0.5,
        "the nearest neighbour is recorded if its F-measure is above this, for accepted "
        "candidates too",
        before=0.0,
        ge=0,
        le=1,
    )
    tokenizer: Literal["auto", "rouge", "unicode"] = semantic(
        "auto",
        "what counts as a token: rouge-score's `[a-z0-9]+` (rouge), Unicode words (unicode), or "
        "chosen for each text (auto)",
        before="rouge",
    )


def _mean_logprob(facts: InstructionFacts | InstanceFacts, _: Any) -> float:
    return facts.mean_logprob


def _is_free_text(facts: InstructionFacts | InstanceFacts) -> bool:
    """Whether the text is not a label: a right label is very likely, and has no upper limit."""
    return facts.kind is not Kind.LABEL


_low_likelihood = partial(
    Rule,
    name="low_likelihood",
    when=When.LIKELIHOOD,
    reason="low_likelihood",
    help="the text is less likely under the model than the threshold (nats per token)",
    limits=LikelihoodLimits,
    section="likelihood",
    can_be_off=False,  # the limit of each candidate is recorded with it
    measure=Measure(_mean_logprob, Bound.AT_LEAST, lambda facts, _: facts.logprob_threshold),
)
_too_likely = partial(
    Rule,
    name="max_logprob",
    when=When.LIKELIHOOD,
    reason="too_likely",
    help="the text is more likely than `likelihood.max_logprob`",
    limits=MaxLogprob,
    section="likelihood",
    measure=Measure(_mean_logprob, Bound.AT_MOST, lambda _, limits: limits.max_logprob),
    applies=_is_free_text,
)

LOW_LIKELIHOOD = _low_likelihood(of=Of.INSTRUCTION)
TOO_LIKELY = _too_likely(of=Of.INSTRUCTION)
UNSCORABLE = Rule(
    name="scorable",
    of=Of.INSTRUCTION,
    when=When.NOVELTY,
    reason="unscorable",
    help="the text has no word that ROUGE-L can compare, for example only punctuation",
    section="novelty",
    breaks=lambda facts, _: not facts.scorable,
)
NOT_NOVEL = Rule(
    name="novelty",
    of=Of.INSTRUCTION,
    when=When.NOVELTY,
    reason="not_novel",
    help="its ROUGE-L with an instruction of the pool is above `novelty.threshold`",
    limits=NoveltyLimits,
    section="novelty",
    measure=Measure(
        lambda facts, _: facts.rouge_l,
        Bound.AT_MOST,
        lambda _, limits: limits.threshold,
        without_score=True,  # no text of the pool is near
    ),
    details="The ROUGE-L F-measure is computed as in the package rouge-score, so "
    "0.7000000000000001 is above 0.7",
)

INSTRUCTION_SCORE_RULES = [LOW_LIKELIHOOD, TOO_LIKELY, UNSCORABLE, NOT_NOVEL]
INSTANCE_SCORE_RULES = [_low_likelihood(of=Of.INSTANCE), _too_likely(of=Of.INSTANCE)]
