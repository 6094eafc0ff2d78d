"""Scores texts twice on the real engine, with the prompt cache and without; prints JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from selfinstruct.common.records import Form, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.vllm import VllmEngine
from selfinstruct.models import resolve_model

WHOLE = Reading(Form.WHOLE)
PROMPT = "One word after the other. " * 60
TEXTS = ["The sea is blue and the sky is wide.", "It rains.", "The sea is blue. " * 40]


class Watched(VllmEngine):
    """The engine, and how often it scored anew what the cache had held."""

    again = 0

    def _scored_again(self, output: Any) -> bool:
        found = super()._scored_again(output)
        self.again += found
        return found


def scores(engine: VllmEngine, name: str) -> dict[int, tuple[float, ...] | None]:
    found = {}
    for number, text in enumerate([*TEXTS, *TEXTS]):
        ids = tuple(engine.encode(text))
        id = f"{name}-{number}"
        engine.submit([Request(id, id, Stage.SCORE, WHOLE, PROMPT, SamplingConfig(), scored=ids)])
        [one] = engine.collect()
        found[number] = one.token_logprobs
    return found


def main() -> None:
    model = resolve_model("bundled", lambda what, share: None)
    engine = Watched(model, ModelConfig(dtype="bfloat16"), EngineConfig(driver=sys.argv[1]))
    engine.start(1024)
    cached = scores(engine, "cached")
    again = engine.again
    engine.dtype = "float32"  # whose scores never come from the cache
    found = {"again": again, "cached": cached, "uncached": scores(engine, "uncached")}
    print(json.dumps(found))
    engine.close()


if __name__ == "__main__":
    main()
