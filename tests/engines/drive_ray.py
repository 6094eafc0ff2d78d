"""Asks a tiny model many things, by the engine `vllm` or by replicas on Ray of which one is killed.

    python drive_ray.py vllm|ray FOLDER

Prints what came back as JSON. In a process of its own: Ray and vLLM both stay in a process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import psutil

from selfinstruct.common.records import Completion, Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.base import Engine
from selfinstruct.engines.ray import RayEngine
from selfinstruct.engines.registry import build_engine
from selfinstruct.models import resolve_model

SAMPLING = SamplingConfig(temperature=1.0, max_tokens=180)
COUNT = 60


def request(number: int) -> Request:
    name = f"p{number:03d}"
    prompt = f"{number % 7} The quick brown fox {number}"
    return Request(name, name, Stage.PROPOSE, Reading(Form.WHOLE), prompt, SAMPLING, seed=number)


def replicas() -> list[int]:
    """Process ids of the replicas that were started from here."""
    own = psutil.Process().children(recursive=True)
    return [one.pid for one in own if any("Replica" in word for word in one.cmdline()[:1])]


def collected(engine: Engine, found: dict[str, list[Completion]], until: int) -> None:
    while sum(map(len, found.values())) < until:
        for completion in engine.collect():
            found.setdefault(completion.id, []).append(completion)


def main() -> None:
    kind, folder = sys.argv[1:]
    options: dict[str, Any] = {"name": kind, "kv_cache_gb": 1}
    if kind == "ray":
        options |= {"replicas": 2}
    model = resolve_model(folder, lambda *_: None)
    engine = build_engine(model, ModelConfig(dtype="float32"), EngineConfig(**options))
    engine.start(256)
    told: dict[str, Any] = {}
    before: list[int] = []
    found: dict[str, list[Completion]] = {}
    if isinstance(engine, RayEngine):
        while not all(worker.is_up for worker in engine._workers):
            time.sleep(0.1)
        before = replicas()
        os.kill(before[0], signal.SIGSTOP)  # however fast it is, it has requests when it dies
    engine.submit([request(number) for number in range(COUNT)])
    if kind == "ray":
        time.sleep(0.2)  # the other has begun to write
        os.kill(before[0], signal.SIGKILL)
    collected(engine, found, COUNT)
    if kind == "ray":
        while len(set(replicas()) - set(before)) < 1:  # another one takes its place
            time.sleep(0.1)
        told = {"settings": dict(engine.settings()), "replicas": len(replicas())}
    # What an engine does besides: it scores, refuses what is too long, and forgets.
    first = found["p000"][0]
    tokens = tuple(first.token_ids[:4])
    long = Request("long", "long", Stage.PROPOSE, Reading(Form.WHOLE), "a " * 400, SAMPLING, seed=1)
    score = Request(
        "score",
        "score",
        Stage.SCORE,
        Reading(Form.WHOLE),
        first.prompt or "",
        SAMPLING,
        scored=tokens,
    )
    engine.submit([long, score, request(900)])
    engine.abort(["p900"])
    rest: dict[str, list[Completion]] = {}
    collected(engine, rest, 2)
    told |= {
        "times": sorted({len(completions) for completions in found.values()}),
        "texts": {id: completions[0].text for id, completions in sorted(found.items())},
        "logprobs": {id: completions[0].token_logprobs for id, completions in found.items()},
        "errors": [c.error for completions in found.values() for c in completions if c.error],
        "score": rest["score"][0].token_logprobs,
        "recorded": (first.token_logprobs or ())[: len(tokens)],
        "long": rest["long"][0].error,
        "rest": sorted(rest),
        "idle": engine.usage().idle_seconds,
    }
    engine.close()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
