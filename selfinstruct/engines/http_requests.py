"""Requests as servers take them, and their replies as completions.

There are two ways. vLLM's own: the prompt goes as token ids to `/completions`, and token ids come
back, so spans and scores are exact. Every other server: texts go to `/completions`, conversations
to `/chat/completions`, with log-probabilities where the server has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfinstruct.common.records import Completion, Conversation, Request
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.engines.base import SCORED
from selfinstruct.engines.http_servers import BadReplyError
from selfinstruct.engines.http_spans import piece_spans
from selfinstruct.engines.thinking import MARKS, Written, apart, opens_thinking

# Sampling settings that the interface of OpenAI does not have; most other servers know them.
_FURTHER = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a server does with a request.

    completions, chat: whether it has the interface for texts, and for conversations.
    logprobs: whether it returns the log-probabilities of what it writes.
    further: whether it knows top_k, min_p and repetition_penalty.
    seeds: whether it takes a seed.
    long_name: whether the limit of a chat answer is named `max_completion_tokens`.
    """

    completions: bool = True
    chat: bool = True
    logprobs: bool = True
    further: bool = True
    seeds: bool = True
    long_name: bool = False


def sampling_body(sampling: SamplingConfig, seed: int, room: int | None) -> dict[str, Any]:
    """Return the sampling settings of a request's body, those of OpenAI's interface alone."""
    limit = sampling.max_tokens if room is None else min(sampling.max_tokens, room)
    body: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "max_tokens": limit,
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.temperature > 0:
        body["seed"] = seed
    return body


def further_sampling(sampling: SamplingConfig) -> dict[str, Any]:
    """Return the settings that not every server knows, without those that are off."""
    values = sampling.model_dump()
    return {name: values[name] for name, off in _FURTHER.items() if values[name] != off}


def vllm_body(request: Request, prompt_ids: Sequence[int], room: int) -> dict[str, Any]:
    """Return the body of a request to vLLM, token ids in and out.

    Args:
        request: writes or scores.
        prompt_ids: its prompt.
        room: tokens that are left in the context.
    """
    body: dict[str, Any] = {"prompt": list(prompt_ids), "return_token_ids": True}
    if request.scored is None:
        body |= sampling_body(request.sampling, request.seed, room)
        return body | further_sampling(request.sampling) | {"logprobs": 0}
    body |= {"max_tokens": 1, "temperature": 0.0}
    if len(request.scored) == 1 and prompt_ids:
        allowed = {"allowed_token_ids": list(request.scored), "ignore_eos": True}
        return body | allowed | {"logprobs": 0}
    return body | {"prompt": [*prompt_ids, *request.scored], "prompt_logprobs": 0}


def text_body(request: Request, can: Abilities) -> tuple[str, dict[str, Any]]:
    """Return the path and the body of a request to any other server."""
    body = sampling_body(request.sampling, request.seed, None)
    if can.further:
        body |= further_sampling(request.sampling)
    if not can.seeds:
        body.pop("seed", None)
    prompt = request.prompt
    if isinstance(prompt, Conversation):
        if can.long_name:
            body["max_completion_tokens"] = body.pop("max_tokens")
        if can.logprobs:
            body["logprobs"] = True
        return "/chat/completions", {"messages": [dict(m) for m in prompt.messages], **body}
    if can.logprobs:
        body["logprobs"] = 1
    return "/completions", {"prompt": prompt, **body}


def choice_of(reply: Any) -> Mapping[str, Any]:
    """Return the one choice of a reply.

    Raises:
        BadReplyError: there is none, or it has no text.
    """
    if not isinstance(reply, Mapping):
        raise BadReplyError(f"the reply is not an object but {str(reply)[:80]!r}")
    if reply.get("error"):
        raise BadReplyError(f"the reply is an error: {str(reply['error'])[:200]}")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise BadReplyError("the reply has no choices")
    choice = choices[0]
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    refusal = message.get("refusal") if isinstance(message, Mapping) else None
    if not isinstance(text, str) and not (text is None and (refusal or _thought(message))):
        raise BadReplyError("the reply's choice has no text")
    return choice


def vllm_completion(
    request: Request, prompt: str | None, prompt_ids: Sequence[int], reply: Any
) -> Completion:
    """Return the completion of a reply to `vllm_body`.

    Raises:
        BadReplyError: it is not such a reply.
    """
    choice = choice_of(reply)
    if request.scored is not None:
        return _scored(request, prompt, prompt_ids, choice)
    token_ids = choice.get("token_ids")
    entries = choice.get("logprobs") or {}
    if not isinstance(token_ids, list):
        raise BadReplyError("the reply has no token_ids, though they were asked for")
    told = _Told(
        str(choice["text"]),
        entries.get("tokens"),
        entries.get("token_logprobs"),
        tuple(int(token) for token in token_ids),
        len(prompt_ids),
    )
    return _written(request, told, choice, prompt)


def text_completion(request: Request, reply: Any) -> Completion:
    """Return the completion of a reply to `text_body`.

    Raises:
        BadReplyError: it is not such a reply.
    """
    choice = choice_of(reply)
    usage = reply.get("usage") or {}
    message = choice.get("message")
    if isinstance(message, Mapping):
        text = message.get("content") or message.get("refusal") or ""
        content = (choice.get("logprobs") or {}).get("content") or []
        pieces: Any = [entry.get("token") for entry in content]
        logprobs: Any = [entry.get("logprob") for entry in content]
    else:
        text = choice["text"]
        entries = choice.get("logprobs") or {}
        pieces, logprobs = entries.get("tokens"), entries.get("token_logprobs")
    seen = request.prompt if isinstance(request.prompt, str) else None
    read, counted = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    told = _Told(text, pieces, logprobs, (), int(read), int(counted))
    completion = _written(request, told, choice, seen)
    return _with_thinking(completion, _thought(message))


def _thought(message: Any) -> str | None:
    """Return the thinking that a server has parted from the answer."""
    if not isinstance(message, Mapping):
        return None
    return message.get("reasoning") or message.get("reasoning_content")


def _with_thinking(completion: Completion, thought: str | None) -> Completion:
    return replace(completion, thinking=thought) if thought else completion


@dataclass(frozen=True, slots=True)
class _Told:
    """What a server tells of a completion: its text, and its tokens as strings where it does."""

    text: str
    pieces: Any
    logprobs: Any
    token_ids: tuple[int, ...] = ()
    num_prompt_tokens: int = 0
    counted: int = 0


def _written(
    request: Request, told: _Told, choice: Mapping[str, Any], prompt: str | None
) -> Completion:
    """Return a completion, its thinking apart, with the spans of its tokens where they are told."""
    starts, ends, scores = _spans(told)
    marks = [
        (start, piece)
        for piece, start, end in zip(told.pieces or (), starts, ends, strict=False)
        if piece in MARKS and start == end
    ]
    written = Written(told.text, starts, ends)
    thinking, answer = apart(written, marks, opened=opens_thinking(prompt or ""))
    return Completion(
        request=request,
        text=answer.text,
        token_ids=told.token_ids,
        token_logprobs=scores,
        token_starts=tuple(answer.starts),
        token_ends=tuple(answer.ends),
        finish_reason=str(choice.get("finish_reason") or "stop"),
        num_prompt_tokens=told.num_prompt_tokens,
        thinking=thinking,
        prompt=prompt,
        counted_tokens=0 if told.token_ids else told.counted,
    )


def _spans(told: _Told) -> tuple[list[int], list[int], tuple[float, ...] | None]:
    """Return the ranges of tokens and their log-probabilities; None for these if they are unsure.

    A number that is none (NaN, infinite) stays one: `score_span` says what it means.
    """
    pieces, logprobs, tokens = told.pieces, told.logprobs, len(told.token_ids)
    lists = isinstance(pieces, list) and isinstance(logprobs, list)
    if not lists or not pieces or len(pieces) != len(logprobs):
        return [0] * tokens, [0] * tokens, None
    if tokens and len(pieces) != tokens:
        return [0] * tokens, [0] * tokens, None
    spans = piece_spans(told.text, [str(piece) for piece in pieces])
    if spans is None or not all(isinstance(value, int | float) for value in logprobs):
        return [0] * len(pieces), [0] * len(pieces), None
    return spans[0], spans[1], tuple(float(value) for value in logprobs)


def _scored(
    request: Request, prompt: str | None, prompt_ids: Sequence[int], choice: Mapping[str, Any]
) -> Completion:
    """Return scored tokens with their log-probabilities, as if the model had written them."""
    token_ids = tuple(request.scored or ())
    entries = choice.get("prompt_logprobs")
    if isinstance(entries, list):
        told = entries[-len(token_ids) :]
        found = [_entry(entry, token) for entry, token in zip(told, token_ids, strict=False)]
    else:
        written = choice.get("logprobs") or {}
        names, values = written.get("tokens") or [], written.get("token_logprobs") or []
        found = [(name, value) for name, value in zip(names, values, strict=False)]
    if len(found) < len(token_ids):
        raise BadReplyError("the reply has too few log-probabilities")
    pieces = [piece for piece, _ in found]
    text = "".join(pieces)
    spans = piece_spans(text, pieces) or ([0] * len(pieces), [0] * len(pieces))
    values = [value for _, value in found]
    complete = all(value is not None for value in values)
    return Completion(
        request=request,
        text=text,
        token_ids=token_ids,
        token_logprobs=tuple(float(v) for v in values if v is not None) if complete else None,
        token_starts=tuple(spans[0]),
        token_ends=tuple(spans[1]),
        finish_reason=SCORED,
        num_prompt_tokens=len(prompt_ids),
        prompt=prompt,
    )


def _entry(entry: Any, token: int) -> tuple[str, float | None]:
    """Return a prompt token's text and log-probability; the first token of all has none."""
    told = (entry or {}).get(str(token)) or {}
    return str(told.get("decoded_token") or ""), told.get("logprob")
