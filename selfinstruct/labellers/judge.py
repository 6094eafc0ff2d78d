"""The labeller `judge`: a model compares every two answers to a prompt.

An answer's score is the share of its duels that it won. The margin of two answers is the judge's
log-odds, where their duel and their scores agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from selfinstruct.common import ids
from selfinstruct.common.records import LocalModel
from selfinstruct.labellers import duels
from selfinstruct.labellers.base import (
    Answers,
    Labelled,
    Labeller,
    Labelling,
    Needs,
    ScoredAnswer,
    TaskPrompt,
    Vote,
    VoteStore,
    with_score,
)
from selfinstruct.labellers.duels import Duel

if TYPE_CHECKING:
    from selfinstruct.engines.base import Engine
    from selfinstruct.engines.isolated import Advance
    from selfinstruct.prompts.principles import Principles

# Prompts whose votes are kept at a time.
BATCH = 64

Votes = Mapping[tuple[str, str], Vote]
"""Votes by the ids of the two answers."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a judge is asked about two answers.

    template: of Jinja.
    principles: each two answers are compared by one that is drawn for them; None: by no principle.
    """

    template: str
    principles: Principles | None = None


def label(labelling: Labelling) -> Labelled:
    """Have every two answers judged; votes are kept as they come.

    Raises:
        EngineError: the engine failed; votes that were kept stay.
        WriteError: the disk refuses.
    """
    from selfinstruct.engines.isolated import Loaded

    work = partial(
        judge_answers,
        prompts=labelling.prompts,
        answers=labelling.answers,
        question=Question(labelling.template or duels.TEMPLATE, labelling.principles),
        votes=labelling.votes,
    )
    loaded = Loaded(labelling.asked_model.name, duels.judge_dtype(labelling.dtype))
    labelling.processes.with_engine(loaded, work, labelling.advance)
    votes = {(vote.first, vote.second): vote for vote in labelling.votes.read()}
    answers = {key: _shares(own, votes) for key, own in labelling.answers.items()}
    return Labelled(answers, partial(_margin, votes))


def judge_answers(
    engine: Engine,
    *,
    prompts: Sequence[TaskPrompt],
    answers: Answers,
    question: Question,
    votes: VoteStore,
    advance: Advance,
) -> None:
    """Have every two whole answers to a prompt judged, unless its votes are kept already.

    Raises:
        EngineError: the engine failed; votes that were kept stay.
        WriteError: the disk refuses.
    """
    judged_prompts = {vote.prompt_id for vote in votes.read()}
    pairs = [
        (prompt, first, second)
        for prompt in prompts
        if prompt.id not in judged_prompts
        for first, second in combinations(answers[prompt.id], 2)
        if first.text and second.text and first.finished and second.finished
    ]
    if not pairs:
        return
    by = question.principles
    asked = [
        Duel(
            first.id,
            prompt.shown,
            first.text,
            other.text,
            _drawn(by, first, other),
        )
        for prompt, first, other in pairs
    ]
    duels.start(engine, asked, question.template)
    # Cut between prompts alone, so that a prompt with one vote has all of its votes.
    cuts = [n for n, (prompt, *_) in enumerate(pairs) if n and pairs[n - 1][0] is not prompt]
    starts = [0, *cuts[BATCH - 1 :: BATCH]]
    slices = [slice(*ends) for ends in pairwise([*starts, len(pairs)])]
    judged = duels.judged(engine, [asked[own] for own in slices], question.template, advance)
    for own, verdicts in zip(slices, judged, strict=True):
        votes.commit(
            [
                Vote(prompt.id, first.id, second.id, verdict.preference, verdict.margin)
                for (prompt, first, second), verdict in zip(pairs[own], verdicts, strict=True)
            ]
        )


def _drawn(principles: Principles | None, first: ScoredAnswer, second: ScoredAnswer) -> str:
    """Return the principle that two answers are compared by; empty where there are none."""
    if principles is None:
        return ""
    return principles.drawn(ids.pair_of(first.id, second.id)).principle


def _shares(answers: Sequence[ScoredAnswer], votes: Votes) -> list[ScoredAnswer]:
    """Score answers by the share of their duels that they won, ties as halves."""
    wins: dict[str, list[float]] = {answer.id: [] for answer in answers}
    for first, second in combinations(answers, 2):
        vote = votes.get((first.id, second.id))
        if vote is not None and not math.isnan(vote.preference):
            wins[first.id].append(vote.preference)
            wins[second.id].append(1 - vote.preference)
    shares = {key: sum(own) / len(own) if own else math.nan for key, own in wins.items()}
    return [with_score(answer, shares[answer.id]) for answer in answers]


def _margin(votes: Votes, first: ScoredAnswer, second: ScoredAnswer) -> float:
    """Return the judge's log-odds for the first answer; NaN where it does not decide.

    It does not where its votes contradict each other, nor where the duel contradicts the scores:
    where duels go in a circle, nothing says which of two answers is better.
    """
    vote = votes.get((first.id, second.id))
    if vote is None or vote.preference not in (0.0, 1.0):
        return math.nan
    return vote.margin if (first.score - second.score) * vote.margin > 0 else math.nan


def _labelled_by(model: LocalModel, dtype: str) -> str:
    return f"{model.digest} {duels.judge_dtype(dtype)}"


JUDGE = Labeller(
    name="judge",
    help="a model compares each pair of answers",
    details=(
        "The judge (`--judge MODEL`) is asked about each pair of answers twice, in both orders. "
        "An answer's score is the share of its comparisons that it won; a pair's margin is the "
        "judge's log-odds. If the two votes contradict each other, no pair is made. "
        "`--judge-prompt` is a template of your own. On a CPU the judge's weights are float32 "
        "unless `--dtype` says otherwise"
    ),
    needs=Needs.JUDGE,
    label=label,
    labelled_by=_labelled_by,
    template=duels.TEMPLATE,
)
