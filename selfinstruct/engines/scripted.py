"""An engine with scripted completions, for tests and for trying out the loop."""

from __future__ import annotations

import random
import re
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.common.errors import EngineError
from selfinstruct.common.records import Completion, Prompt, Request
from selfinstruct.engines.base import ALL, SCORED, Capabilities, EngineUsage, IdleClock
from selfinstruct.engines.thinking import Written, apart, opens_thinking

Script = Callable[[Request], "str | tuple[str, str]"]
"""Returns the text for a request, or (text, finish_reason)."""


class ScriptedEngine:
    """Answers by a function of the request; tokens are words with made-up log-probabilities.

    Args:
        script: returns the answers. It gets requests with rendered prompts, and so does
            `requests`.
        shuffle: a seed; completions are returned in a random order, to show that the loop does not
            depend on it.
        die_after: raise EngineError after this many completions.
        batch: completions that one `collect` returns; so many are worked on at once.
        context_length: in tokens.
        capabilities: what the engine can do.
    """

    def __init__(
        self,
        script: Script,
        *,
        shuffle: int | None = None,
        die_after: int | None = None,
        batch: int = 7,
        context_length: int = 8192,
        capabilities: Capabilities = ALL,
    ) -> None:
        self.capabilities = capabilities
        self._words: dict[int, str] = {}
        self.requests: list[Request] = []
        self._script = script
        self._rng = random.Random(shuffle) if shuffle is not None else None
        self._die_after = die_after
        self._batch = batch
        self._returned = 0
        self._waiting: deque[Request] = deque()
        self._context_length = context_length
        self._clock = IdleClock()

    @property
    def context_length(self) -> int:
        return self._context_length

    @property
    def at_once(self) -> int:
        return self._batch

    @property
    def has_chat_template(self) -> bool:
        return True

    def encode(self, text: str) -> list[int]:
        words = [text[start:end] for start, end in _tokens(text)]
        self._words |= {_word_id(word): word for word in words}
        return [_word_id(word) for word in words]

    def render(self, prompt: Prompt) -> str:
        if isinstance(prompt, str):
            return prompt
        turns = "".join(f"<{m['role']}>{m['content']}" for m in prompt.messages)
        if prompt.as_user:
            return f"{turns}<user>"
        return f"{turns}<assistant>{prompt.opened}"

    def start(self, context_length: int) -> None:
        self._clock = IdleClock()

    def submit(self, requests: Sequence[Request]) -> None:
        self.requests.extend(
            replace(request, prompt=self.render(request.prompt)) for request in requests
        )
        self._waiting.extend(requests)
        self._clock.submitted(len(requests))

    def collect(self) -> list[Completion]:
        if not self._waiting:
            raise EngineError("the scripted engine has nothing in flight to collect")
        if self._rng is not None:
            mixed = list(self._waiting)
            self._rng.shuffle(mixed)
            self._waiting = deque(mixed)
        count = min(self._batch, len(self._waiting))
        requests = [self._waiting.popleft() for _ in range(count)]
        self._returned += count
        if self._die_after is not None and self._returned > self._die_after:
            raise EngineError(f"the scripted engine died after {self._die_after} completions")
        self._clock.finished(count)
        return [self._completion_of(request) for request in requests]

    def abort(self, ids: Sequence[str]) -> None:
        dropped = set(ids)
        kept = deque(request for request in self._waiting if request.id not in dropped)
        self._clock.finished(len(self._waiting) - len(kept))
        self._waiting = kept

    def settings(self) -> dict[str, Any]:
        return {"device": "script"}

    def usage(self) -> EngineUsage:
        return self._clock.usage()

    def close(self) -> None:
        self._waiting.clear()

    def _completion_of(self, request: Request) -> Completion:
        prompt = self.render(request.prompt)
        if request.scored is not None:
            text, finish_reason = "".join(self._words[id] for id in request.scored), SCORED
        else:
            answer = self._script(replace(request, prompt=prompt))
            text, finish_reason = answer if isinstance(answer, tuple) else (answer, "stop")
        spans = _tokens(text)
        ids = tuple(self.encode(text))
        written = Written(text, [start for start, _ in spans], [end for _, end in spans])
        thinking, shown = None, written
        if request.scored is None:
            thinking, shown = apart(written, opened=opens_thinking(prompt))
        with_logprobs = self.capabilities.logprobs or request.scored is not None
        return Completion(
            request=request,
            text=shown.text,
            token_ids=ids,
            token_logprobs=tuple(_logprob(id, prompt) for id in ids) if with_logprobs else None,
            token_starts=tuple(shown.starts),
            token_ends=tuple(shown.ends),
            finish_reason=finish_reason,
            num_prompt_tokens=len(_tokens(prompt)),
            thinking=thinking,
            prompt=prompt,
        )


def _tokens(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\s*\S+|\s+$", text)]


def _word_id(word: str) -> int:
    return zlib.crc32(word.encode(errors="surrogatepass")) >> 1


def _logprob(token: int, prompt: str) -> float:
    """Return a number in nats that depends on the token and its prompt alone."""
    return -(1 + (token + zlib.crc32(prompt.encode(errors="surrogatepass"))) % 31) / 10
