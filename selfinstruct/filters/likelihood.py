"""How probable the model finds its own texts, and where the threshold lies (the paper, §3.4).

Scores are in nats per token under the unmodified model distribution (temperature 1, no
penalties). A good score differs from model to model and from kind to kind, so the threshold is
taken from the run's own first candidates: see `LikelihoodThresholds`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from selfinstruct.common.fields import Section, semantic
from selfinstruct.common.records import NAN, Completion, Kind

# With fewer seed texts of a kind, their lowest score is a poor guard.
_LEAST_SEEDS = 10


class LikelihoodLimits(Section):
    """How the least likelihood of a text is set.

    Runs that are older than the likelihood filter have none.
    """

    quantile: float | None = semantic(
        0.05,
        "reject texts that are less likely than this quantile of the first "
        "`likelihood.calibration` candidates; null: off",
        before=None,
        gt=0,
        lt=1,
    )
    calibration: int = semantic(
        64, "candidates per kind (instruction, output, label) for the quantile", ge=1
    )
    min_logprob: float | None = semantic(
        None,
        "minimum nats per token for every kind of text, instead of quantile and seed_bound",
        le=0,
    )
    seed_bound: bool = semantic(
        True,
        "also reject texts that are less likely than the least likely of 48 seed tasks",
        before=False,
    )


class MaxLogprob(Section):
    """The highest likelihood that a text may have."""

    max_logprob: float | None = semantic(
        None, "maximum nats per token of an instruction or output; rejects repetition", le=0
    )


SeedScores = Mapping[Kind, Sequence[float]]
"""Scores of seed tasks under the run's model, by kind, in nats per token."""


@dataclass(frozen=True, slots=True)
class SpanScore:
    """Mean log-probability in nats per token, the number of tokens, or why there is no score."""

    mean_logprob: float
    num_tokens: int
    unscored_reason: str | None = None


def score_span(completion: Completion, start: int, end: int) -> SpanScore:
    """Return the mean log-probability of `completion.text[start:end]`.

    It covers the recorded tokens with any character in the span. Their context is the prompt and
    the completion before them. Nothing is tokenised again.
    """
    return score_spans(completion, [(start, end)])[0]


def score_spans(completion: Completion, spans: Sequence[tuple[int, int]]) -> list[SpanScore]:
    """Return what `score_span` returns for each of some spans of a completion."""
    starts, ends = completion.token_starts, completion.token_ends
    if len(starts) == len(ends) and _rises(starts) and _rises(ends):
        # The tokens of a span lie side by side.
        return [
            _score(
                completion,
                range(bisect_right(ends, start), bisect_left(starts, end)) if start < end else (),
            )
            for start, end in spans
        ]
    return [_score(completion, tokens_of(completion, start, end)) for start, end in spans]


def _rises(numbers: Sequence[int]) -> bool:
    """Whether no number is below the one before it."""
    return list(numbers) == sorted(numbers)


def _score(completion: Completion, inside: Sequence[int]) -> SpanScore:
    """Return the mean log-probability of the tokens at some positions."""
    if completion.error is not None:
        return SpanScore(NAN, 0, "request_failed")
    if completion.token_logprobs is None:
        return SpanScore(NAN, len(inside), "engine_gives_no_logprobs")
    if not inside:
        return SpanScore(NAN, 0, "no_token_in_span")
    logprobs = completion.token_logprobs
    if isinstance(inside, range):
        total = sum(logprobs[inside.start : inside.stop])
    else:
        total = sum(logprobs[position] for position in inside)
    if not math.isfinite(total):
        return SpanScore(NAN, len(inside), "logprob_not_finite")
    return SpanScore(total / len(inside), len(inside))


def tokens_of(completion: Completion, start: int, end: int) -> list[int]:
    """Return the positions of the recorded tokens that have any character in the span."""
    return [
        position
        for position, (first, last) in enumerate(
            zip(completion.token_starts, completion.token_ends, strict=True)
        )
        if first < end and last > start and start < end
    ]


def conditional_gain(with_task: float, without_task: SpanScore) -> tuple[float, str | None]:
    """Return log p(output | instruction, input) − log p(output), per token, or why there is none.

    It is positive if the task makes its output likelier: pointwise mutual information, with the
    same prompt without a task as the premise (Holtzman et al. 2021, arXiv:2104.08315, §3).

    Args:
        with_task: mean log-probability of the output after its task, in nats per token.
        without_task: its score after the prompt without a task.
    """
    if math.isnan(with_task):
        return NAN, "output_not_scored"
    if without_task.unscored_reason is not None:
        return NAN, without_task.unscored_reason
    return with_task - without_task.mean_logprob, None


def quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile of the values at a share in [0, 1], interpolated linearly."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class LikelihoodThresholds:
    """The threshold of each kind: taken from the candidates of the first rounds, then frozen.

    The scores of candidates that passed the earlier rules are gathered round by round, for each
    kind. In the round that brings them to `likelihood.calibration`, their `likelihood.quantile`
    becomes the threshold, for that round and all later ones. Before that, and below that, the
    least score of ten or more seed tasks is a guard against broken text. This guard alone rejects
    nothing: a model finds human text less probable than what it samples itself.

    Args:
        config: quantile, calibration and the absolute bounds.
        starts: scores of seed tasks, by the round from which they count. A merged run has one
            start for each source, since each source had its own model.
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
        """Take in the scores of all of a round's candidates of a kind."""
        key = (self._start_of(round), kind)
        share = self._config.quantile
        if share is None or key in self._frozen:
            return
        seen = self._seen.setdefault(key, [])
        seen += [score for score in scores if not math.isnan(score)]
        if len(seen) >= self._config.calibration:
            self._frozen[key] = (round, quantile(seen, share))

    def is_settled(self, kind: Kind, round: int) -> bool:
        """Whether no more scores of a kind change its threshold from a round on."""
        settled = (self._start_of(round), kind) in self._frozen
        return settled or self._config.quantile is None

    def least(self, kind: Kind, round: int) -> float | None:
        """Return the least score of a candidate of a round in nats per token, or None."""
        if self._config.min_logprob is not None:
            return self._config.min_logprob
        start = self._start_of(round)
        guard = self._guards.get(start, {}).get(kind) if self._config.seed_bound else None
        since, frozen = self._frozen.get((start, kind), (math.inf, None))
        bounds = (guard, frozen if round >= since else None)
        return max((bound for bound in bounds if bound is not None), default=None)

    def is_fixed(self, kind: Kind, round: int) -> bool:
        """Whether the threshold of a round depends on none of the round's own candidates."""
        if self._config.min_logprob is not None or self._config.quantile is None:
            return True
        since, _ = self._frozen.get((self._start_of(round), kind), (math.inf, None))
        return since < round

    def in_force(self, round: int) -> dict[str, float | None]:
        """Return the threshold of every kind in a round, for round.json."""
        return {str(kind): self.least(kind, round) for kind in Kind}

    def _start_of(self, round: int) -> int:
        return self._starts[max(0, bisect_right(self._starts, round) - 1)]


def _guards(scores: SeedScores) -> dict[Kind, float]:
    finite = {
        kind: [score for score in of_kind if not math.isnan(score)]
        for kind, of_kind in scores.items()
    }
    return {kind: min(of_kind) for kind, of_kind in finite.items() if len(of_kind) >= _LEAST_SEEDS}
