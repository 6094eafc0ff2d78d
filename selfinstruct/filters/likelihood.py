"""How probable the model itself finds what it wrote, and the rule on it (the paper, §3.4).

Scores are in nats per token under the unmodified model distribution (temperature 1, no
penalties). What a good score is differs from model to model and from kind to kind, so the
threshold is taken from the run's own first candidates: see `LikelihoodThresholds`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from selfinstruct.common.fields import Section, semantic
from selfinstruct.common.records import NAN, Completion, Kind

# Fewer seed texts of a kind say too little of what people write.
_LEAST_SEEDS = 10


class LikelihoodLimits(Section):
    """Where the least likelihood of a text comes from.

    Runs of before there was a likelihood filter were judged without one.
    """

    quantile: float | None = semantic(
        0.05,
        "drop what is less likely than this share of the first candidates was; null: off",
        before=None,
        gt=0,
        lt=1,
    )
    calibration: int = semantic(
        64, "candidates of a kind (instruction, output, label) to take the quantile of", ge=1
    )
    min_logprob: float | None = semantic(
        None, "least nats per token, for every kind, instead of the quantile", le=0
    )
    seed_bound: bool = semantic(
        True,
        "guard: nothing less likely than the least likely of 48 seed tasks",
        before=False,
    )


class MaxLogprob(Section):
    """How probable a text may be at most."""

    max_logprob: float | None = semantic(
        None, "most nats per token of an instruction or output: drops repetition", le=0
    )


SeedScores = Mapping[Kind, Sequence[float]]
"""Scores of seed tasks under the model that writes, by kind."""


@dataclass(frozen=True, slots=True)
class SpanScore:
    """Mean log-probability in nats per token, the tokens it is over, or why there is none."""

    mean_logprob: float
    num_tokens: int
    unscored_reason: str | None = None


def score_span(completion: Completion, start: int, end: int) -> SpanScore:
    """Return the mean log-probability of `completion.text[start:end]`.

    The tokens are those recorded ones of which any character lies in the span; their context
    is the prompt and the completion before them. Nothing is tokenised again.
    """
    inside = tokens_of(completion, start, end)
    if completion.error is not None:
        return SpanScore(NAN, 0, "request_failed")
    if completion.token_logprobs is None:
        return SpanScore(NAN, len(inside), "engine_gives_no_logprobs")
    if not inside:
        return SpanScore(NAN, 0, "no_token_in_span")
    total = sum(completion.token_logprobs[position] for position in inside)
    return SpanScore(total / len(inside), len(inside))


def tokens_of(completion: Completion, start: int, end: int) -> list[int]:
    """Return the positions of the recorded tokens of which any character lies in the span."""
    return [
        position
        for position, (first, last) in enumerate(
            zip(completion.token_starts, completion.token_ends, strict=True)
        )
        if first < end and last > start and start < end
    ]


def conditional_gain(given_task: float, given_nothing: SpanScore) -> tuple[float, str | None]:
    """Return log p(output | instruction, input) − log p(output), per token, or why there is none.

    Positive where the task makes its output likelier: pointwise mutual information, with the
    same prompt without a task as the premise (Holtzman et al. 2021, arXiv:2104.08315, §3).
    """
    if math.isnan(given_task):
        return NAN, "output_not_scored"
    if given_nothing.unscored_reason is not None:
        return NAN, given_nothing.unscored_reason
    return given_task - given_nothing.mean_logprob, None


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of them lie, interpolated linearly."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class LikelihoodThresholds:
    """The threshold of each kind: taken from the first rounds' candidates, then frozen.

    The candidates of a kind are gathered round by round, those that earlier rules passed.
    From the round on in which there are `likelihood.calibration` of them, the threshold is
    their `likelihood.quantile`; that round is judged by it too. Before that, and below that,
    the least score of ten seed tasks or more is a guard against broken text. Seeds alone reject
    nothing: a model finds what people write less probable than what it samples itself.

    Args:
        config: quantile, calibration and the absolute bounds.
        starts: scores of seed tasks by the round from which they count. A run that was
            merged from others has a start for each of them, since each had its own model.
    """

    def __init__(
        self, config: LikelihoodLimits, starts: Mapping[int, SeedScores] | None = None
    ) -> None:
        self._config = config
        self._starts = sorted(starts or {0: {}})
        self._guards = {start: _guards(scores) for start, scores in (starts or {}).items()}
        self._seen: dict[tuple[int, Kind], list[float]] = {}
        self._frozen: dict[tuple[int, Kind], tuple[int, float]] = {}

    def see(self, kind: Kind, round: int, scores: Iterable[float]) -> None:
        """Take in the scores of a round's candidates of a kind, all at once."""
        key = (self._start_of(round), kind)
        share = self._config.quantile
        if share is None or key in self._frozen:
            return
        seen = self._seen.setdefault(key, [])
        seen += [score for score in scores if not math.isnan(score)]
        if len(seen) >= self._config.calibration:
            self._frozen[key] = (round, quantile(seen, share))

    def least(self, kind: Kind, round: int) -> float | None:
        """Return the least score that a candidate of a round may have, or None."""
        if self._config.min_logprob is not None:
            return self._config.min_logprob
        start = self._start_of(round)
        guard = self._guards.get(start, {}).get(kind) if self._config.seed_bound else None
        since, frozen = self._frozen.get((start, kind), (math.inf, None))
        bounds = (guard, frozen if round >= since else None)
        return max((bound for bound in bounds if bound is not None), default=None)

    def in_force(self, round: int) -> dict[str, float | None]:
        """Return the threshold of every kind, as round.json has them."""
        return {str(kind): self.least(kind, round) for kind in Kind}

    def _start_of(self, round: int) -> int:
        return self._starts[max(0, bisect_right(self._starts, round) - 1)]


def _guards(scores: SeedScores) -> dict[Kind, float]:
    known = {kind: [one for one in found if not math.isnan(one)] for kind, found in scores.items()}
    return {kind: min(found) for kind, found in known.items() if len(found) >= _LEAST_SEEDS}
