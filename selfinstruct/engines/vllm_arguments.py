"""Arguments of vLLM's SamplingParams: to write, or to score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfinstruct.common.records import Conversation, Request


def scoring_arguments(*, cached: bool) -> dict[str, Any]:
    """Return the arguments to read a prompt and get the log-probabilities of its tokens.

    With `cached`, the cached part of a prompt is not read again and has no log-probabilities; only
    those of the text after the prompt are needed. Float32 must not use it: runs have to repeat
    there, and the content of the cache depends on timing and may change the last bits.
    """
    return {
        "max_tokens": 1,  # the least that vLLM allows; the token is ignored
        "temperature": 0.0,
        "prompt_logprobs": 0,
        "skip_reading_prefix_cache": not cached,
        "detokenize": False,
    }


def one_token_arguments(token: int) -> dict[str, Any]:
    """Return the arguments to write just this token; its raw log-probability is the score.

    The prompt is read once for all tokens that are scored after it, and only one of its positions
    is turned into logits.
    """
    return {
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": 0,
        "allowed_token_ids": [token],
        "ignore_eos": True,
    }


def sampling_arguments(
    request: Request, room: int, turn_ends: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the arguments to write; `logprobs=0` returns the sampled token's own, raw.

    Args:
        request: the request; its sampling is used.
        room: tokens that are left in the context after the prompt.
        turn_ends: tokens that end a turn of a conversation, and that vLLM does not know.
    """
    sampling = request.sampling
    arguments: dict[str, Any] = sampling.model_dump(exclude={"stop", "max_tokens"})
    arguments["stop"] = list(sampling.stop)
    arguments["max_tokens"] = min(sampling.max_tokens, room)
    arguments["logprobs"] = 0
    if turn_ends and isinstance(request.prompt, Conversation):
        arguments["stop_token_ids"] = list(turn_ends)
    if sampling.temperature > 0:
        arguments["seed"] = request.seed
    return arguments
