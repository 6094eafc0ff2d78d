"""What the golden suite needs of requests, completions and engines, in one place.

When a request or an engine changes its shape, this file is what changes with it. What it
returns must stay the same: the expected values were recorded through it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from selfinstruct.common.records import Completion, Request
from selfinstruct.engines.base import Capabilities
from selfinstruct.engines.scripted import ScriptedEngine

ENGINES = {
    "all": Capabilities(logprobs=True, score=True, seeded=True),
    "scores_later": Capabilities(logprobs=False, score=True, seeded=True),
    "no_scores": Capabilities(logprobs=False, score=False, seeded=False),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a script may know of a request: nothing that another layout of requests would lose."""

    id: str
    stage: str
    seed: int


Script = Callable[[Asked], "str | tuple[str, str]"]


class GoldenEngine(ScriptedEngine):
    """The scripted engine, answered by the suite's own script, with thinking where it has any.

    Args:
        script: returns the text of a request, or (text, finish_reason).
        can: which of `ENGINES`.
        thinks: returns what is thought before an answer, or None.
        die_after: completions after which it dies.
        fails: says why a request fails for good, or None.
    """

    def __init__(
        self,
        script: Script,
        can: str = "all",
        thinks: Callable[[Asked], str | None] | None = None,
        die_after: int | None = None,
        fails: Callable[[Asked], str | None] | None = None,
    ) -> None:
        super().__init__(
            lambda request: script(asked(request)), capabilities=ENGINES[can], die_after=die_after
        )
        self._thinks = thinks
        self._fails = fails

    def collect(self) -> list[Completion]:
        return [self._as_it_came(one) for one in super().collect()]

    def _as_it_came(self, completion: Completion) -> Completion:
        request = asked(completion.request)
        if self._fails is not None and (error := self._fails(request)) is not None:
            return Completion(
                completion.request,
                "",
                (),
                None,
                (),
                (),
                "error",
                completion.num_prompt_tokens,
                error=error,
            )
        if self._thinks is None:
            return completion
        return replace(completion, thinking=self._thinks(request))


def asked(request: Request) -> Asked:
    return Asked(request.id, str(request.stage), request.seed)


def prompt_text(request: Request) -> str:
    """Return the whole prompt as the model sees it, markup included: the engine rendered it."""
    return str(request.prompt)


def scored_ids(request: Request) -> tuple[int, ...] | None:
    """Return the tokens that are to be scored; None for a request that writes."""
    return request.scored


def request_record(engine: ScriptedEngine, request: Request) -> dict[str, Any]:
    """Return everything of a request that decides its completion, in few characters."""
    prompt = prompt_text(request)
    scored = scored_ids(request)
    sampling = request.sampling.model_dump(mode="json")
    return {
        "id": request.id,
        "stage": str(request.stage),
        "template": request.template,
        "seed": request.seed,
        "parents": list(request.parents),
        "stop": list(sampling.pop("stop")),
        "sampling": sampling,
        "prompt": digest(prompt),
        "prompt_tokens": digest(list(engine.encode(prompt))),
        "prompt_end": prompt[-60:],
        "scored": None if scored is None else digest(list(scored)),
    }


def completion_record(completion: Completion) -> list[Any]:
    """Return everything of a completion that was recorded."""
    request = completion.request
    return [
        request.id,
        str(request.stage),
        request.template,
        completion.prompt,
        list(request.parents),
        request.sampling.model_dump(mode="json"),
        request.seed,
        scored_ids(request),
        completion.text,
        completion.thinking,
        list(completion.token_ids),
        None if completion.token_logprobs is None else list(completion.token_logprobs),
        list(completion.token_starts),
        list(completion.token_ends),
        completion.finish_reason,
        completion.num_prompt_tokens,
        completion.error,
    ]


def digest(value: Any) -> str:
    """Return the first 16 digits of a SHA-256: of a text as it is, of all else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
