"""Drives the real engine, in a process of its own; prints what it found as JSON."""

from __future__ import annotations

import json
import sys

from selfinstruct.common.records import Completion, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.vllm import VllmEngine
from selfinstruct.models import resolve_model

WHOLE = Reading(Form.WHOLE)
SAMPLING = SamplingConfig(temperature=0.8, min_p=0.05, max_tokens=24)
PROMPTS = {"a": "The sea is", "bb": "Café \U0001f600 means", "long": "word " * 600}


def written(name: str, prompt: str) -> Request:
    return Request(name, name, Stage.PROPOSE, WHOLE, prompt, SAMPLING, seed=len(name))


def scored(name: str, prompt: str, *tokens: int) -> Request:
    return Request(name, name, Stage.SCORE, WHOLE, prompt, SAMPLING, scored=tokens)


def collected(engine: VllmEngine, count: int) -> dict[str, Completion]:
    found: dict[str, Completion] = {}
    while len(found) < count:
        found |= {one.id: one for one in engine.collect()}
    return found


def main() -> None:
    model = resolve_model("bundled", lambda what, share: None)
    engine = VllmEngine(model, ModelConfig(dtype="float32"), EngineConfig(driver=sys.argv[1]))
    engine.start(512)
    engine.submit([written(name, prompt) for name, prompt in PROMPTS.items()])
    engine.submit([written("gone", "Never mind")])
    engine.abort(["gone"])
    done = collected(engine, 3)
    one = done["a"]
    prompt, first = one.prompt or "", one.token_ids[0]
    # Two tokens after one prompt, each alone: the one that was written, and another.
    other = first + 1
    engine.submit(
        [
            scored("again", prompt, *one.token_ids),
            scored("own", prompt, first),
            scored("other", prompt, other),
            scored("two", prompt, other, other),
        ]
    )
    scores = collected(engine, 4)
    again = scores["again"]
    usage = engine.usage()
    found = {
        "text": {name: done[name].text for name in PROMPTS},
        "alone": [scores[name].token_logprobs for name in ("own", "other")],
        "whole": [(scores[name].token_logprobs or ())[:1] for name in ("again", "two")],
        "error": done["long"].error,
        "finish": done["long"].finish_reason,
        "scored": again.token_logprobs,
        "recorded": one.token_logprobs,
        "same": [
            again.text == one.text,
            again.token_ids == one.token_ids,
            (again.token_starts, again.token_ends) == (one.token_starts, one.token_ends),
        ],
        "reason": again.finish_reason,
        "usage": [usage.seconds, usage.idle_seconds],
    }
    print(json.dumps(found))
    engine.close()


if __name__ == "__main__":
    main()
