"""How probable the model itself finds a span that it wrote (recorded)."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.records import NAN, Completion


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
    inside = [
        position
        for position, (first, last) in enumerate(
            zip(completion.token_starts, completion.token_ends, strict=True)
        )
        if first < end and last > start and start < end
    ]
    if completion.token_logprobs is None:
        return SpanScore(NAN, len(inside), "engine_gives_no_logprobs")
    if not inside:
        return SpanScore(NAN, 0, "no_token_in_span")
    total = sum(completion.token_logprobs[position] for position in inside)
    return SpanScore(total / len(inside), len(inside))
