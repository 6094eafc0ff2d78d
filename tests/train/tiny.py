"""A two-layer Llama with random weights and a small tokenizer: it trains in seconds."""

from __future__ import annotations

import json
from pathlib import Path

from selfinstruct.common.records import LocalModel

_WORDS = "### Task Answer Question Instruction Response : . ? , \n name the a of is yes no red blue"


def tiny_model(folder: Path, *, template: str | None = None, eos: str = "<end>") -> LocalModel:
    """Write the model into a folder, and return it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    characters = pre_tokenizers.ByteLevel.alphabet()
    vocabulary = {"<start>": 0, "<end>": 1, "<turn>": 2}
    for character in sorted(characters):
        vocabulary.setdefault(character, len(vocabulary))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<start>", eos_token=eos, chat_template=template
    )
    torch.set_num_threads(1)  # of so small a model more cost more than they gain
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=vocabulary[eos],
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = json.loads((folder / "config.json").read_text())
    return LocalModel("tiny", folder, "digest", loaded)
