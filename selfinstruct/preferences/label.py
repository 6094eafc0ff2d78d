"""Labellers: what says which of a prompt's answers is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.engines.base import Engine
from selfinstruct.engines.isolated import Advance, Loaded, Work
from selfinstruct.filters.similarity import rouge_f
from selfinstruct.labellers import judge
from selfinstruct.labellers.reward import Answered, require_reward_model
from selfinstruct.preferences import folder
from selfinstruct.preferences.folder import VOTES, Vote
from selfinstruct.preferences.pairs import Margin, ScoredAnswer, any_two, score_margin, with_score
from selfinstruct.preferences.sample import BATCH, Prompt


class Labeller(StrEnum):
    """What says which answer is better."""

    LIKELIHOOD = "likelihood"
    JUDGE = "judge"
    REWARD = "reward"
    REFERENCE = "reference"


class Apart(Protocol):
    """Has work done with a model in a process of its own (`isolated.with_engine`)."""

    def __call__(self, loaded: Loaded, work: Work[Any], advance: Advance) -> Any: ...


# Has a reward model score answers, in a process of its own (`rewards.reward_scores`).
Score = Callable[[LocalModel, Sequence[Answered], Advance], list[float]]


@dataclass(frozen=True)
class Scorer:
    """A labeller, with the model that it needs: a judge or a reward model."""

    labeller: Labeller
    model: LocalModel | None = None
    template: str = judge.TEMPLATE

    def __post_init__(self) -> None:
        """Refuse a labeller that lacks its model, and a model that nobody asks.

        Raises:
            ConfigError: naming the option.
        """
        needs = {Labeller.JUDGE: "--judge", Labeller.REWARD: "--reward-model"}
        option = needs.get(self.labeller)
        if option is not None and self.model is None:
            raise ConfigError(f"{option}: names the model that `{self.labeller}` asks; give it")
        if option is None and self.model is not None:
            raise ConfigError(
                f"`{self.labeller}` asks no other model; leave {' and '.join(needs.values())} out"
            )
        if self.labeller is Labeller.REWARD and self.model is not None:
            require_reward_model(self.model)


def labelled_by(scorer: Scorer, dtype: str) -> str | None:
    """Return what the model that labels is known by: its digest, and of a judge its dtype."""
    if scorer.model is None:
        return None
    digest = scorer.model.digest
    judges = scorer.labeller is Labeller.JUDGE
    return f"{digest} {judge.judge_dtype(dtype)}" if judges else digest


@dataclass(frozen=True)
class Labelled:
    """Answers by prompt, with scores (higher is better), and how two of them compare."""

    answers: Mapping[str, Sequence[ScoredAnswer]]
    margin_of: Margin = score_margin
    may_pair: Callable[[ScoredAnswer, ScoredAnswer], bool] = any_two


def label_answers(
    scorer: Scorer,
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[ScoredAnswer]],
    out: Path,
    *,
    apart: Apart,
    score: Score,
    dtype: str,
    advance: Advance,
) -> Labelled:
    """Have answers labelled; what a judge says is committed to `out` as it comes.

    Args:
        scorer: who labels.
        prompts: what was asked.
        answers: by prompt; the labeller `likelihood` scored them as they were sampled.
        out: the folder of the answers.
        apart: runs a model in a process of its own.
        score: asks a reward model.
        dtype: of the judge (`judge.judge_dtype`).
        advance: told (done, of how many).

    Raises:
        EngineError: an engine failed; committed votes stay.
    """
    if scorer.labeller is Labeller.JUDGE and scorer.model is not None:
        work = partial(
            judge_answers, prompts=prompts, answers=answers, template=scorer.template, out=out
        )
        apart(Loaded(scorer.model.name, judge.judge_dtype(dtype)), work, advance)
        votes = {(vote.first, vote.second): vote for vote in folder.read_votes(out)}
        judged = {key: _judged(own, votes) for key, own in answers.items()}
        return Labelled(judged, partial(_vote_margin, votes))
    if scorer.labeller is Labeller.REWARD and scorer.model is not None:
        return Labelled(_rewarded(scorer.model, prompts, answers, score, advance))
    if scorer.labeller is Labeller.REFERENCE:
        scored = {one.id: _against_reference(one, answers[one.id]) for one in prompts}
        return Labelled(scored, may_pair=_one_is_the_reference)
    return Labelled(answers)


def _rewarded(
    model: LocalModel,
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[ScoredAnswer]],
    score: Score,
    advance: Advance,
) -> dict[str, list[ScoredAnswer]]:
    asked = [(prompt, one) for prompt in prompts for one in answers[prompt.id] if one.text]
    turns = [Answered((("user", prompt.user),), one.text) for prompt, one in asked]
    scores = score(model, turns, advance) if turns else []
    of = {one.id: value for (_, one), value in zip(asked, scores, strict=True)}
    return {
        key: [with_score(one, of.get(one.id, math.nan)) for one in own]
        for key, own in answers.items()
    }


def judge_answers(
    engine: Engine,
    *,
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[ScoredAnswer]],
    template: str,
    out: Path,
    advance: Callable[[int, int], object],
) -> None:
    """Have every two usable answers to a prompt judged that were not yet; commit the votes."""
    known = {vote.prompt_id for vote in folder.read_votes(out)}
    pairs = [
        (prompt, first, second)
        for prompt in prompts
        if prompt.id not in known
        for first, second in combinations(answers[prompt.id], 2)
        if first.text and second.text and first.finished and second.finished
    ]
    duels = [
        judge.Duel(first.id, prompt.user, first.text, two.text) for prompt, first, two in pairs
    ]
    if not duels:
        return
    judge.start(engine, duels, template)
    # Cut between prompts alone, so that a prompt with one vote has all of its votes.
    cuts = [n for n, (prompt, *_) in enumerate(pairs) if n and pairs[n - 1][0] is not prompt]
    starts = [0, *cuts[BATCH - 1 :: BATCH]]
    for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
        verdicts = judge.judged(engine, duels[start:end], template)
        votes = [
            Vote(prompt.id, first.id, second.id, verdict.preference, verdict.margin)
            for (prompt, first, second), verdict in zip(pairs[start:end], verdicts, strict=True)
        ]
        folder.commit_rows(out, VOTES, votes)
        advance(end, len(pairs))


def _judged(
    answers: Sequence[ScoredAnswer], votes: Mapping[tuple[str, str], Vote]
) -> list[ScoredAnswer]:
    """Score answers by the share of their duels that they won, ties as halves."""
    won: dict[str, list[float]] = {answer.id: [] for answer in answers}
    for first, second in combinations(answers, 2):
        vote = votes.get((first.id, second.id))
        if vote is not None and not math.isnan(vote.preference):
            won[first.id].append(vote.preference)
            won[second.id].append(1 - vote.preference)
    shares = {key: sum(own) / len(own) if own else math.nan for key, own in won.items()}
    return [with_score(answer, shares[answer.id]) for answer in answers]


def _vote_margin(
    votes: Mapping[tuple[str, str], Vote], first: ScoredAnswer, second: ScoredAnswer
) -> float:
    """Return the judge's log-odds for the first, NaN where its votes contradict each other.

    Those of a duel with the score too, the share of all its duels that an answer won: where
    they go in a circle, nothing says which of two is better.
    """
    vote = votes.get((first.id, second.id))
    if vote is None or vote.preference not in (0.0, 1.0):
        return math.nan
    return vote.margin if (first.score - second.score) * vote.margin > 0 else math.nan


def _against_reference(prompt: Prompt, answers: Sequence[ScoredAnswer]) -> list[ScoredAnswer]:
    """Score answers by their ROUGE-L with the accepted output, which is put before them with 1."""
    own = [with_score(one, rouge_f(prompt.reference, one.text)) for one in answers]
    words = len(prompt.reference.split())
    reference = ScoredAnswer(
        ids.reference(prompt.id), prompt.id, prompt.reference, words, True, "run", 1.0
    )
    return [reference, *own]


def _one_is_the_reference(first: ScoredAnswer, second: ScoredAnswer) -> bool:
    return (first.source == "run") != (second.source == "run")
