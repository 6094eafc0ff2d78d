"""From a run and a policy to preferences: sample, label, pair, hold out, report."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

from selfinstruct import judge
from selfinstruct.config import fingerprint
from selfinstruct.engines.base import Engine
from selfinstruct.errors import ConfigError
from selfinstruct.evaluate.measures import rouge_f
from selfinstruct.isolated import Advance, Loaded, Work
from selfinstruct.preferences import folder
from selfinstruct.preferences.folder import HELD_OUT, TRAIN, VOTES, Vote
from selfinstruct.preferences.pairs import (
    Dropped,
    Margin,
    Pair,
    ScoredAnswer,
    length_balanced,
    length_report,
    make_pairs,
    score_margin,
    split_pairs,
    with_score,
)
from selfinstruct.preferences.sample import (
    BATCH,
    Prompt,
    SampleSettings,
    prompts_of,
    sample_answers,
)
from selfinstruct.records import LocalModel
from selfinstruct.store import Run, folder_lock

log = logging.getLogger(__name__)

# With fewer pairs than this to train on, there is nothing to learn.
LEAST_PAIRS = 8
# Settings that decide about pairs alone: free to change without asking anybody again.
_PAIRING = {"min_margin", "every_pair", "balance_lengths", "held_out"}


class Labeller(StrEnum):
    """What says which answer is better."""

    LIKELIHOOD = "likelihood"
    JUDGE = "judge"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class PreferSettings:
    """How preferences are made."""

    labeller: Labeller = Labeller.LIKELIHOOD
    k: int = 4
    temperature: float = 0.9
    max_tokens: int = 192
    min_margin: float = 0.0
    every_pair: bool = False
    balance_lengths: bool = False
    held_out: int = 60
    seed: int = 0
    dtype: str = "auto"


class Apart(Protocol):
    """Has work done with a model in a process of its own (`isolated.with_engine`)."""

    def __call__(self, loaded: Loaded, work: Work[Any], advance: Advance) -> Any: ...


def prefer(
    run: Run,
    policy: LocalModel,
    out: Path,
    settings: PreferSettings,
    *,
    apart: Apart,
    advance: Callable[[str, int, int], object],
    judged_by: LocalModel | None = None,
    judge_template: str = judge.TEMPLATE,
    resume: bool = False,
) -> dict[str, Any]:
    """Make preferences of a policy's answers to the tasks of a run; return the report.

    Answers are the policy's own: nothing that the run rejected is ever in a pair.

    Args:
        run: whose accepted tasks are the prompts.
        policy: the model that answers, and is to be trained.
        out: folder of the preferences.
        settings: how.
        apart: runs a model in a process of its own.
        advance: told (stage, done, of how many).
        judged_by: the judge, for that labeller.
        judge_template: what it is shown.
        resume: go on with what was begun in `out`.

    Raises:
        ConfigError: nothing to ask, other settings than in `out`, or too few pairs came of it.
        EngineError: an engine failed; what was committed stays.
        WriteError: the disk refuses; what was committed stays.
    """
    if (settings.labeller is Labeller.JUDGE) != (judged_by is not None):
        raise ConfigError("--judge: names the model of the labeller `judge`; give both, or none")
    prompts = prompts_of(run)
    if not prompts:
        raise ConfigError(f"{run.path}: has no accepted task to ask about; generate some first")
    told = {
        **{key: value for key, value in asdict(settings).items() if key not in _PAIRING},
        "policy": policy.digest,
        "run": fingerprint({"prompts": [asdict(prompt) for prompt in prompts]}),
        "judge": judged_by and judged_by.digest,
        "judge_template": judge_template if judged_by else None,
    }
    with folder_lock(out):
        if folder.open_folder(out, told, resume=resume):
            raise ConfigError(f"{out}: holds preferences already; give another --out")
        how = SampleSettings(
            settings.k,
            settings.temperature,
            settings.max_tokens,
            settings.seed,
            scored=settings.labeller is Labeller.LIKELIHOOD,
        )
        work = partial(sample_answers, prompts=prompts, how=how, out=out)
        apart(Loaded(policy.name, settings.dtype), work, partial(advance, "answers"))
        answers = _by_prompt(prompts, folder.read_scored(out))
        margin_of: Margin = score_margin
        if judged_by is not None:
            judging = partial(
                judge_answers, prompts=prompts, answers=answers, template=judge_template, out=out
            )
            apart(Loaded(judged_by.name, "auto"), judging, partial(advance, "votes"))
            votes = {(vote.first, vote.second): vote for vote in folder.read_votes(out)}
            answers = {key: _judged(own, votes) for key, own in answers.items()}
            margin_of = partial(_vote_margin, votes)
        elif settings.labeller is Labeller.REFERENCE:
            answers = {one.id: _against_reference(one, answers[one.id]) for one in prompts}
        return _finish(run, policy, out, settings, prompts, answers, margin_of)


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


def _by_prompt(
    prompts: Sequence[Prompt], answers: Sequence[ScoredAnswer]
) -> dict[str, list[ScoredAnswer]]:
    found: dict[str, list[ScoredAnswer]] = {prompt.id: [] for prompt in prompts}
    for answer in answers:
        found[answer.prompt_id].append(answer)
    return found


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
    """Return the judge's log-odds for the first, NaN where its votes contradict each other."""
    vote = votes.get((first.id, second.id))
    if vote is None or vote.preference not in (0.0, 1.0):
        return math.nan
    return vote.margin


def _against_reference(prompt: Prompt, answers: Sequence[ScoredAnswer]) -> list[ScoredAnswer]:
    """Score answers by their ROUGE-L with the accepted output, which is added with 1."""
    own = [with_score(one, rouge_f(prompt.reference, one.text)) for one in answers]
    worst = min(own, key=lambda one: one.score, default=None)
    words = len(prompt.reference.split())
    reference = ScoredAnswer(
        f"{prompt.id}-reference", prompt.id, prompt.reference, words, True, "run", 1.0
    )
    return [reference, worst] if worst is not None else [reference]


def _finish(
    run: Run,
    policy: LocalModel,
    out: Path,
    settings: PreferSettings,
    prompts: Sequence[Prompt],
    answers: Mapping[str, Sequence[ScoredAnswer]],
    margin_of: Margin,
) -> dict[str, Any]:
    """Make the pairs and write them, and the report last."""
    pairs, dropped = make_pairs(
        answers, min_margin=settings.min_margin, every=settings.every_pair, margin_of=margin_of
    )
    before = length_report(pairs)
    if settings.balance_lengths:
        pairs, gone = length_balanced(pairs)
        dropped[Dropped.LENGTH_BALANCE] += gone
    lengths = length_report(pairs)
    train, held = split_pairs(
        pairs, {prompt.id: prompt.group for prompt in prompts}, settings.held_out
    )
    counts = {str(reason): count for reason, count in sorted(dropped.items())}
    if len(held) < settings.held_out or len(train) < LEAST_PAIRS:
        raise ConfigError(
            f"{out}: only {len(pairs)} pairs came of {len(prompts)} prompts "
            f"({_counted(counts)}), too few to hold {settings.held_out} out and train on "
            f"{LEAST_PAIRS}; --resume with --every-pair, a smaller --min-margin or --held-out "
            "pairs the same answers anew; more tasks or a larger --k need another --out"
        )
    user_of = {prompt.id: prompt.user for prompt in prompts}
    lineage = {
        "labeller": str(settings.labeller),
        "policy": policy.name,
        "run": str(run.path.name),
    }
    folder.write_pairs(out, TRAIN, train, user_of, lineage)
    folder.write_pairs(out, HELD_OUT, held, user_of, lineage)
    report = {
        **lineage,
        "prompts": len(prompts),
        "answers": sum(len(own) for own in answers.values()),
        "pairs": {"train": len(train), "held_out": len(held)},
        "dropped": counts,
        "lengths": asdict(lengths),
        "lengths_before_balancing": asdict(before) if settings.balance_lengths else None,
        "margins": _quartiles(pairs),
    }
    folder.write_report(out, report)
    return report


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in counts.items()) or "nothing dropped"


def _quartiles(pairs: Sequence[Pair]) -> list[float]:
    margins = sorted(pair.margin for pair in pairs)
    return [margins[round(share * (len(margins) - 1))] for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
