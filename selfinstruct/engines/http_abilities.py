"""What a server can do, found out by asking it for one token, with less at each refusal."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import Conversation, Form, Prompt, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.engines.http_requests import Abilities, text_body, text_completion
from selfinstruct.engines.http_servers import BadReplyError
from selfinstruct.models.endpoint import without_key

_SAMPLING = SamplingConfig(temperature=0.7, min_p=0.05, max_tokens=1)
# What is left out, one after the other, until the server takes the request.
_LESS = (
    {"logprobs": False},
    {"further": False},
    {"further": False, "logprobs": False},
    {"further": False, "logprobs": False, "long_name": True},
    {"further": False, "logprobs": False, "seeds": False},
    {"further": False, "logprobs": False, "seeds": False, "long_name": True},
)


async def find_abilities(client: Any, served: str) -> Abilities:
    """Return what a server can do.

    Raises:
        ConfigError: it answers neither a text nor a conversation.
    """
    text, chat = await asyncio.gather(
        _try("One, two,", client, served),
        _try(Conversation(({"role": "user", "content": "Say yes."},)), client, served),
    )
    if isinstance(text, str) and isinstance(chat, str):
        raise ConfigError(f"{client.base_url}: answers no request ({chat}); check model and key")
    found = [each for each in (text, chat) if isinstance(each, Abilities)]
    return Abilities(
        completions=isinstance(text, Abilities),
        chat=isinstance(chat, Abilities),
        logprobs=all(each.logprobs for each in found),
        further=all(each.further for each in found),
        seeds=all(each.seeds for each in found),
        long_name=any(each.long_name for each in found),
    )


async def _try(prompt: Prompt, client: Any, served: str) -> Abilities | str:
    """Return the most that the server takes with a prompt; else its last refusal."""
    request = Request(
        "probe", "probe", Stage.ANSWER, Reading(Form.WHOLE), prompt, _SAMPLING, seed=1
    )
    refusal = ""
    for less in ({}, *_LESS):
        can = replace(Abilities(), **less)
        reply = await _ask(client, served, request, can)
        if isinstance(reply, str):
            refusal = reply
            continue
        return replace(can, logprobs=can.logprobs and reply)
    return refusal


async def _ask(client: Any, served: str, request: Request, can: Abilities) -> bool | str:
    """Return whether log-probabilities came back, or why the server refuses the request.

    Raises:
        ConfigError: the key is wrong, or no server answers.
    """
    import openai

    path, body = text_body(request, can)
    try:
        reply = await client.post(path, body={**body, "model": served}, cast_to=object)
        return text_completion(request, reply).token_logprobs is not None
    except openai.APIStatusError as error:
        if error.status_code in (401, 403):
            raise ConfigError(
                f"{client.base_url}: refuses the key; set OPENAI_API_KEY in the environment"
            ) from error
        return f"{error.status_code}: {without_key(' '.join(str(error.message).split()))[:200]}"
    except BadReplyError as error:
        return str(error)
    except openai.APIError as error:
        return type(error).__name__
