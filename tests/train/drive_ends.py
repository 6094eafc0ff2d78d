"""Asks the real engine for an answer of each model folder, in a process of its own; prints JSON."""

from __future__ import annotations

import json
import sys

from selfinstruct.common.records import Conversation, Form, Message, Reading, Request, Stage
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.vllm import VllmEngine
from selfinstruct.models import resolve_model


def main() -> None:
    folder, *questions = sys.argv[1:]
    model = resolve_model(folder, lambda what, share: None)
    engine = VllmEngine(model, ModelConfig(dtype="float32"), EngineConfig(driver="inprocess"))
    engine.start(256)
    greedy = SamplingConfig(temperature=0.0, max_tokens=24)
    requests = [
        Request(
            question,
            question,
            Stage.ANSWER,
            Reading(Form.WHOLE),
            Conversation((Message(role="user", content=question),)),
            greedy,
        )
        for question in questions
    ]
    engine.submit(requests)
    found = {}
    while len(found) < len(requests):
        found |= {one.id: one for one in engine.collect()}
    print(
        json.dumps(
            [[found[q].text, found[q].finish_reason, found[q].num_prompt_tokens] for q in questions]
        )
    )
    engine.close()


if __name__ == "__main__":
    main()
