"""A model behind one or more servers, behind the Engine protocol.

The servers speak OpenAI's interface: `vllm serve`, SGLang, llama.cpp, Ollama, hosted models. This
process needs no torch. Requests are sent from a thread with an event loop of its own, so that many
are in flight while the loop judges. See `http_servers` for retries and `http_requests` for the
form of requests.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import queue
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from selfinstruct.common.errors import ConfigError, EngineError, SelfInstructError, why
from selfinstruct.common.records import Completion, Conversation, LocalModel, Prompt, Request
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.balance import beginning_of
from selfinstruct.engines.base import Capabilities, EngineUsage, IdleClock
from selfinstruct.engines.http_abilities import find_abilities
from selfinstruct.engines.http_requests import (
    Abilities,
    text_body,
    text_completion,
    vllm_body,
    vllm_completion,
)
from selfinstruct.engines.http_servers import (
    MOST_IN_FLIGHT,
    START,
    BadReplyError,
    Patience,
    RequestFailedError,
    Server,
    Servers,
)
from selfinstruct.engines.rendering import before_user_turn, with_user_turn
from selfinstruct.models.endpoint import client_of, without_key

log = logging.getLogger(__name__)

T = TypeVar("T")
PATIENCE = Patience()
_CHARACTERS_A_TOKEN = 3  # few, so that an estimate of a prompt's tokens is too high


class HttpEngine:
    """The engine that asks servers. Cheap to build; `start` asks the first questions.

    Raises:
        ConfigError: the model is not served, or the package `openai` is missing.
    """

    def __init__(self, model: LocalModel, config: ModelConfig, engine: EngineConfig) -> None:
        if model.endpoint is None:
            raise ConfigError(f"model {model.name!r}: is not an address; give --base-url")
        self._model, self._endpoint, self._engine = model, model.endpoint, engine
        self._thinking = config.thinking
        self._limit = min(model.context_length, engine.context_length or model.context_length)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        patience = replace(PATIENCE, most=engine.max_num_seqs or MOST_IN_FLIGHT)
        # A number that the user gives is what the servers can do; others are to be found out.
        first = float(engine.max_num_seqs or START)
        servers = [
            Server(url, client_of(url, patience.request, asynchronous=True), first)
            for url in self._endpoint.urls
        ]
        self._servers = Servers(servers, patience)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ready: queue.Queue[Completion | Exception] = queue.Queue()
        self._clock = IdleClock()
        self._can = Abilities()
        if not self._endpoint.is_vllm:
            self._can = self._wait(find_abilities(servers[0].client, self._endpoint.served))

    @property
    def capabilities(self) -> Capabilities:
        vllm = self._endpoint.is_vllm
        return Capabilities(
            logprobs=vllm or self._can.logprobs,
            score=vllm,
            seeded=vllm or self._can.seeds,
            continues=vllm,
            texts=vllm or self._can.completions,
        )

    @property
    def context_length(self) -> int:
        return self._limit

    @property
    def at_once(self) -> int:
        return len(self._endpoint.urls) * (self._engine.max_num_seqs or MOST_IN_FLIGHT)

    @functools.cached_property
    def has_chat_template(self) -> bool:
        if not self._endpoint.is_vllm:
            return self._can.chat
        try:
            self._tokens(Conversation(({"role": "user", "content": "a"},)))
        except (RequestFailedError, ConfigError):
            return False
        return True

    def encode(self, text: str) -> list[int]:
        if self._endpoint.is_vllm:
            return list(self._wait(self._split({"prompt": text, "add_special_tokens": False})))
        return list(range(len(text.encode()) // _CHARACTERS_A_TOKEN + 1))

    def render(self, prompt: Prompt) -> str:
        if isinstance(prompt, str):
            return prompt
        if prompt.as_user:
            return self._wait(self._user_turn(prompt))
        if self._endpoint.is_vllm:
            return self._wait(self._joined(self._tokens(prompt)))
        return "\n\n".join(message["content"] for message in prompt.messages) + prompt.opened

    def start(self, context_length: int) -> None:
        self._limit = min(context_length, self._limit)
        self._clock = IdleClock()

    def submit(self, requests: Sequence[Request]) -> None:
        self._clock.submitted(len(requests))
        self._loop.call_soon_threadsafe(self._send_all, list(requests))

    def collect(self) -> list[Completion]:
        results = [self._ready.get()]
        while not self._ready.empty():
            results.append(self._ready.get_nowait())
        completions = []
        for result in results:
            if isinstance(result, Exception):
                raise result
            completions.append(result)
        self._clock.finished(len(completions))
        return completions

    def abort(self, ids: Sequence[str]) -> None:
        dropped = self._wait(self._cancel(ids))
        kept = []
        while not self._ready.empty():
            result = self._ready.get_nowait()
            if isinstance(result, Completion) and result.id in set(ids):
                dropped += 1
            else:
                kept.append(result)
        for result in kept:
            self._ready.put(result)
        self._clock.finished(dropped)

    def settings(self) -> Mapping[str, Any]:
        """Return what is told of the servers, for run.yaml and a run's first line."""
        return {
            "device": "served",
            "server": self._endpoint.server,
            "servers": len(self._endpoint.urls),
            "context_length": self._limit,
        }

    def usage(self) -> EngineUsage:
        return self._clock.usage()

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._wait(self._cancel(list(self._tasks)))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        if not self._thread.is_alive():
            self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _cancel(self, ids: Sequence[str]) -> int:
        tasks = [self._tasks.pop(id) for id in ids if id in self._tasks]
        for task in tasks:
            task.cancel()
        return len(tasks)

    def _send_all(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self._tasks[request.id] = self._loop.create_task(self._send(request))

    async def _send(self, request: Request) -> None:
        """Ask for one completion; whatever happens, one result follows."""
        result: Completion | Exception
        try:
            result = await self._completion(request)
        except RequestFailedError as error:
            result = _failure(request, str(error))
        except SelfInstructError as error:
            result = error
        except Exception as error:  # noqa: BLE001 (a bug must not leave the loop waiting)
            result = EngineError(f"asking the server failed: {without_key(why(error))}")
        if self._tasks.pop(request.id, None) is not None:
            self._ready.put(result)

    async def _completion(self, request: Request) -> Completion:
        if self._endpoint.is_vllm:
            return await self._vllm_completion(request)
        path, body = text_body(request, self._can)
        body["model"] = self._endpoint.served

        async def send(client: Any) -> Completion:
            return text_completion(request, await client.post(path, body=body, cast_to=object))

        return await self._servers.ask(beginning_of(request.prompt), send)

    async def _vllm_completion(self, request: Request) -> Completion:
        prompt = request.prompt
        question = self._tokenizing(prompt)
        if isinstance(prompt, Conversation) and prompt.as_user:
            # The text has its BOS already.
            question = {"prompt": await self._user_turn(prompt), "add_special_tokens": False}
        ids = await self._split(question)
        room = self._limit - len(ids) - len(request.scored or ())
        if room < 1:
            tokens = self._limit - room
            return _failure(request, f"prompt of {tokens} tokens, context of {self._limit}")
        body = {**vllm_body(request, ids, room), "model": self._endpoint.served}

        async def send(client: Any) -> Completion:
            reply = await client.post("/completions", body=body, cast_to=object)
            return vllm_completion(request, seen, ids, reply)

        seen = await self._joined(ids)  # BOS and chat markup included, as the server renders them
        return await self._servers.ask(beginning_of(prompt), send)

    def _tokenizing(self, prompt: Prompt) -> dict[str, Any]:
        """Return the question for the token ids of a whole prompt, BOS and chat markup included."""
        if isinstance(prompt, str):
            return {"prompt": prompt, "add_special_tokens": True}
        messages = [dict(message) for message in prompt.messages]
        if prompt.opened:
            messages.append({"role": "assistant", "content": prompt.opened})
        return {
            "messages": messages,
            "add_generation_prompt": not prompt.opened,
            "continue_final_message": bool(prompt.opened),
            "chat_template_kwargs": {"enable_thinking": prompt.thinking},
        }

    async def _user_turn(self, prompt: Conversation) -> str:
        """Return a conversation up to where the user's next turn begins.

        Raises:
            ConfigError: the server does not tell how it renders conversations.
        """
        if not self._endpoint.is_vllm:
            raise ConfigError(
                f"{self._endpoint.urls[0]}: a server other than vLLM does not tell its chat "
                "template, which --style magpie needs; serve the model with `vllm serve`, use "
                "--engine vllm, or another --style"
            )
        tokens = await self._split(self._tokenizing(with_user_turn(prompt)))
        return before_user_turn(await self._joined(tokens), self._model.name)

    def _tokens(self, prompt: Prompt) -> tuple[int, ...]:
        return self._wait(self._split(self._tokenizing(prompt)))

    async def _split(self, question: Mapping[str, Any]) -> tuple[int, ...]:
        body = {**question, "model": self._endpoint.served}

        async def send(client: Any) -> tuple[int, ...]:
            reply = await client.post(_beside(client, "/tokenize"), body=body, cast_to=object)
            tokens = reply.get("tokens") if isinstance(reply, Mapping) else None
            if not isinstance(tokens, list):
                raise BadReplyError("the reply has no tokens")
            return tuple(int(token) for token in tokens)

        return await self._servers.ask_small(send)

    async def _joined(self, tokens: Sequence[int]) -> str:
        body = {"tokens": list(tokens), "model": self._endpoint.served}

        async def send(client: Any) -> str:
            reply = await client.post(_beside(client, "/detokenize"), body=body, cast_to=object)
            text = reply.get("prompt") if isinstance(reply, Mapping) else None
            if not isinstance(text, str):
                raise BadReplyError("the reply has no text")
            return text

        return await self._servers.ask_small(send)


def _beside(client: Any, path: str) -> str:
    """Return the whole address of a path that lies beside the API's root, not below it."""
    return str(client.base_url).rstrip("/").removesuffix("/v1") + path


def _failure(request: Request, message: str) -> Completion:
    return Completion(request, "", (), None, (), (), "error", 0, error=message)
