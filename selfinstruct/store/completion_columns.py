"""Completions and their requests as columns, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, lru_cache
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.records import (
    Completion,
    Conversation,
    Form,
    Markers,
    Message,
    Prompt,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.prompts.reading import recorded_reading


def columns_of(completions: Sequence[Completion]) -> list[list[Any]]:
    """Return the columns of completions, in the order of their schema.

    Most requests of a round share their sampling and their reading: each is written out once.
    """
    requests = [completion.request for completion in completions]
    reading_text = cache(_reading_text)
    samplings = {id(one.sampling): one.sampling for one in requests}
    sampling_texts = {
        name: json.dumps(sampling.model_dump(), sort_keys=True)
        for name, sampling in samplings.items()
    }
    return [
        [one.id for one in requests],
        [str(one.stage) for one in requests],
        [one.template for one in requests],
        [_text_seen(completion) for completion in completions],
        [one.parents for one in requests],
        [sampling_texts[id(one.sampling)] for one in requests],
        [one.seed for one in requests],
        [one.text for one in completions],
        [one.thinking for one in completions],
        [one.token_ids for one in completions],
        [one.token_logprobs for one in completions],
        [one.token_starts for one in completions],
        [one.token_ends for one in completions],
        [one.finish_reason for one in completions],
        [one.num_prompt_tokens for one in completions],
        [one.num_output_tokens for one in completions],
        [one.error for one in completions],
        [one.about for one in requests],
        [reading_text(one.reading) for one in requests],
        [_conversation_text(one.prompt) for one in requests],
    ]


def completions_from(
    columns: Mapping[str, Sequence[Any]], markers: Callable[[], Markers]
) -> list[Completion]:
    """Return the completions of some columns; those that older runs lack are filled in.

    Args:
        columns: by name.
        markers: returns the marker words of the run's templates; called only if they decide.
    """
    words = cache(markers)
    samplings = cache(_sampling)
    rows = zip(*columns.values(), strict=True)
    return [_completion(dict(zip(columns, row, strict=True)), words, samplings) for row in rows]


def _reading_text(reading: Reading) -> str:
    """Return a reading as JSON; about passages and rewriting, only what is set."""
    values = asdict(reading)
    kept = {key: values[key] for key in values if values[key] or key not in _ONLY_IF_SET}
    return json.dumps(kept, ensure_ascii=bool(not reading.given))


def _text_seen(completion: Completion) -> str | None:
    """Return the text that the model saw; if the engine does not say, a prompt that is a text."""
    prompt = completion.request.prompt
    return completion.prompt or (prompt if isinstance(prompt, str) else None)


def _conversation_text(prompt: Prompt) -> str | None:
    if isinstance(prompt, str):
        return None
    values = {name: getattr(prompt, name) for name in ("messages", "opened", "thinking")}
    if prompt.as_user:
        values["as_user"] = True
    return json.dumps(values, ensure_ascii=False)


def _sampling(stored: str) -> SamplingConfig:
    return SamplingConfig(**json.loads(stored))


def _completion(
    row: Mapping[str, Any],
    markers: Callable[[], Markers],
    sampling_of: Callable[[str], SamplingConfig],
) -> Completion:
    logprobs = row["token_logprobs"]
    stage, stored = Stage(row["stage"]), row.get("reading")
    request = Request(
        id=row["id"],
        about=row.get("about") or ids.about(row["id"], stage),
        stage=stage,
        reading=_reading(stored) if stored else _NO_READING,
        template=row["template"],
        prompt=_prompt(row),
        sampling=sampling_of(row["sampling"]),
        seed=row["seed"],
        parents=tuple(row["parents"] or ()),
        scored=tuple(row["token_ids"]) if stage is Stage.SCORE else None,
    )
    if not stored:
        reading = recorded_reading(request, row["prompt"] or "", markers)
        request = replace(request, reading=reading)
    return Completion(
        request=request,
        text=row["text"],
        token_ids=tuple(row["token_ids"]),
        token_logprobs=None if logprobs is None else tuple(logprobs),
        token_starts=tuple(row["token_starts"]),
        token_ends=tuple(row["token_ends"]),
        finish_reason=row["finish_reason"],
        num_prompt_tokens=row["num_prompt_tokens"],
        thinking=row["thinking"],
        error=row["error"],
        prompt=row["prompt"],
        counted_tokens=0 if row["token_ids"] else row["num_output_tokens"],
    )


_NO_READING = Reading(Form.WHOLE)
_ONLY_IF_SET = ("source", "given", "operation")


@lru_cache(maxsize=256)
def _reading(stored: str) -> Reading:
    values = json.loads(stored)
    return Reading(**{**values, "form": Form(values["form"])})


def _prompt(row: Mapping[str, Any]) -> Prompt:
    """Return the prompt: a conversation as requested, or the text that the model saw."""
    if not row.get("conversation"):
        return str(row["prompt"])
    values = json.loads(row["conversation"])
    messages = tuple(Message(role=m["role"], content=m["content"]) for m in values["messages"])
    as_user = values.get("as_user", False)
    return Conversation(messages, values["opened"], values["thinking"], as_user)
