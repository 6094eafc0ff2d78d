"""A two-layer Llama with random weights and a small tokenizer: it trains in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfinstruct.common.records import LocalModel


def tiny_tokenizer(
    *,
    template: str | None = None,
    eos: str = "<end>",
    bos: str = "<start>",
    control: Sequence[str] = (),
) -> Any:
    """Return a tokenizer of bytes; `control` are its further control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary: dict[str, int] = {}
    for token in (bos, eos, *control, *sorted(pre_tokenizers.ByteLevel.alphabet())):
        vocabulary.setdefault(token, len(vocabulary))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    more = {"additional_special_tokens": [*control]} if control else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=eos, chat_template=template, **more
    )


def tiny_model(folder: Path, *, head_dim: int = 8, positions: int = 512, **how: Any) -> LocalModel:
    """Write the model into a folder with its `tiny_tokenizer`, and return it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(**how)
    torch.set_num_threads(1)  # of so small a model more cost more than they gain
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=head_dim,
        max_position_embeddings=positions,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = json.loads((folder / "config.json").read_text())
    return LocalModel("tiny", folder, "digest", loaded)
