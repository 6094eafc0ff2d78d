"""What vLLM is asked for, as arguments of its SamplingParams: to write, or to score."""

from __future__ import annotations

from typing import Any

from selfinstruct.common.records import Request


def scoring_arguments(*, cached: bool) -> dict[str, Any]:
    """Have a prompt read, and log-probabilities of its tokens returned.

    With `cached`, what the cache holds of a prompt is not read again and has no log-probabilities:
    those after the prompt alone are wanted. Not so in float32, in which runs are to repeat: what
    the cache holds depends on the time, and may touch the last bits.
    """
    return {
        "max_tokens": 1,  # the least that there is; it is thrown away
        "temperature": 0.0,
        "prompt_logprobs": 0,
        "skip_reading_prefix_cache": not cached,
        "detokenize": False,
    }


def one_token_arguments(token: int) -> dict[str, Any]:
    """Have one token written, and none but the given: its raw log-probability is the score.

    The prompt is read once for all tokens that are scored after it, and one position of it alone is
    turned into logits.
    """
    return {
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": 0,
        "allowed_token_ids": [token],
        "ignore_eos": True,
    }


def sampling_arguments(request: Request, room: int) -> dict[str, Any]:
    """Have a request's text written; `logprobs=0` is the sampled token's own, raw.

    Args:
        request: what is asked, and how it is sampled.
        room: tokens that the context has left after the prompt.
    """
    sampling = request.sampling
    arguments: dict[str, Any] = sampling.model_dump(exclude={"stop", "max_tokens"})
    arguments["stop"] = list(sampling.stop)
    arguments["max_tokens"] = min(sampling.max_tokens, room)
    arguments["logprobs"] = 0
    if sampling.temperature > 0:
        arguments["seed"] = request.seed
    return arguments
