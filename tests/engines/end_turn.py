"""Asks the real engine about a tiny ChatML model, in a process of its own; prints what it wrote.

The tokenizer ends a sequence with `<|endoftext|>`, and the chat template ends a turn with
`<|im_end|>`, as base models often have it. The model writes each of its tokens by chances that do
not depend on the text: the end of a turn about one time in eight, the end of a sequence never.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

from selfinstruct.common.records import (
    Conversation,
    Form,
    LocalModel,
    Message,
    Prompt,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.vllm import VllmEngine
from tests.engines.drive import collected
from tests.train.conventions import CONVENTIONS
from tests.train.tiny import tiny_tokenizer

COUNT, MOST = 6, 120
SAMPLING = SamplingConfig(temperature=1.0, min_p=0.0, max_tokens=MOST)


def chatml_model(folder: Path) -> LocalModel:
    """Write a model whose last hidden state is the same everywhere, so that its head decides."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    convention = CONVENTIONS["ChatML on a base"]
    tokenizer = tiny_tokenizer(
        template=convention.template,
        bos=convention.bos,
        eos=convention.eos,
        control=convention.control,
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    model: Any = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()
        model.model.embed_tokens.weight[:, 0] = 1.0
        model.lm_head.weight.zero_()
        # The state is (sqrt(64), 0, …) behind the norm.
        state = math.sqrt(config.hidden_size)
        others = len(tokenizer)
        ends = tokenizer.convert_tokens_to_ids("<|im_end|>")
        model.lm_head.weight[ends, 0] = math.log(others / 7) / state
        for token in tokenizer.all_special_ids:
            if token != ends:
                model.lm_head.weight[token, 0] = -30 / state
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = json.loads((folder / "config.json").read_text())
    return LocalModel("chatml", folder, "digest", loaded)


def request(name: str, prompt: Prompt) -> Request:
    return Request(
        name, name, Stage.INSTANCES, Reading(Form.WHOLE), prompt, SAMPLING, seed=len(name)
    )


def main() -> None:
    model = chatml_model(Path(sys.argv[1]))
    engine = VllmEngine(model, ModelConfig(dtype="float32"), EngineConfig())
    engine.start(512)
    asked = Conversation((Message(role="user", content="Name a bird."),))
    numbers = range(1, COUNT + 1)
    engine.submit([request("c" * number, asked) for number in numbers])
    engine.submit([request("t" * number, "A bird is") for number in numbers])
    done = collected(engine, 2 * COUNT)
    found = {
        name: [
            {
                "finish": done[name * number].finish_reason,
                "text": done[name * number].text,
                "tokens": list(done[name * number].token_ids),
            }
            for number in numbers
        ]
        for name in ("c", "t")
    }
    print(json.dumps(found))
    engine.close()


if __name__ == "__main__":
    main()
