"""The estimate of memory: against what autograd keeps, what files hold, and sums by hand."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from selfinstruct.train.adapter import lora_config
from selfinstruct.train.footprint import Batch, Way, activations_per_token, memory_of
from selfinstruct.train.shape import network_shape
from tests.train.tiny import tiny_model

TOKENS = 256
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


def config_of(kind: str) -> Any:
    import transformers

    if kind == "GPT2":
        none = dict.fromkeys(("attn_pdrop", "resid_pdrop", "embd_pdrop"), 0.0)
        return transformers.GPT2Config(vocab_size=64, n_embd=64, n_layer=3, n_head=4, **none)
    sizes = {**SIZES, **({"head_dim": 16} if kind in ("Gemma3Text", "Qwen3") else {})}
    if kind == "Phi3":
        sizes["pad_token_id"] = 0
    return getattr(transformers, f"{kind}Config")(**sizes)


def way(**other: Any) -> Way:
    usual: dict[str, Any] = {
        "method": "lora",
        "gpu": False,
        "weight_bytes": 2,
        "autocast": True,
        "attention": "sdpa",
        "checkpointing": False,
        "optimizer": "adamw_torch_fused",
        "accumulated": True,
    }
    return Way(**{**usual, **other})


def kept(folder: Path, how: Way) -> float:
    """The bytes that autograd keeps for a token, apart from weights and their casts."""
    import torch
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    dtype = torch.bfloat16 if how.weight_bytes == 2 else torch.float32
    config = AutoConfig.from_pretrained(folder)
    network = AutoModelForCausalLM.from_config(
        config, dtype=dtype, attn_implementation=how.attention
    )
    if how.method == "lora":
        network = get_peft_model(network, lora_config(how.rank, None))
    network.train()
    if how.checkpointing:
        network.gradient_checkpointing_enable()
        network.enable_input_require_grads()
    backbone = (network.get_base_model() if how.method == "lora" else network).base_model
    sizes: dict[int, int] = {}
    tensors = []  # kept, so that no address is used twice

    def note(tensor: Any) -> Any:
        tensors.append(tensor)
        # Weights and their casts have no dimension of tokens.
        if TOKENS in tensor.shape:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, 60, (1, TOKENS))
    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=how.autocast),
    ):
        backbone(input_ids=ids, use_cache=False)
    return sum(sizes.values()) / TOKENS


HOWS = {
    "lora": way(),
    "lora in float32": way(autocast=False, weight_bytes=4),
    "full": way(method="full", weight_bytes=4),
    "full in float32": way(method="full", weight_bytes=4, autocast=False),
    "eager": way(attention="eager"),
    "checkpointing": way(checkpointing=True),
}


@pytest.mark.parametrize("kind", ["Llama", "Gemma3Text", "Qwen3", "Phi3", "Phi", "GPT2"])
def test_activations_are_what_autograd_keeps(kind: str, tmp_path: Path) -> None:
    config_of(kind).save_pretrained(tmp_path)
    shape = network_shape(tmp_path)
    for name, how in HOWS.items():
        if how.checkpointing or (kind, name) == ("GPT2", "eager"):  # its softmax is in 16 bits
            continue
        real = kept(tmp_path, how)
        assert activations_per_token(shape, how, TOKENS) == pytest.approx(real, rel=0.2), name


def test_checkpointing_keeps_what_goes_from_layer_to_layer(tmp_path: Path) -> None:
    """Apart from the one layer that is computed again, which is there later."""
    config_of("Llama").save_pretrained(tmp_path)
    shape, how = network_shape(tmp_path), HOWS["checkpointing"]
    again = activations_per_token(shape, how, TOKENS) // shape.layers
    found = memory_of(shape, how, Batch(1, TOKENS)).activations / TOKENS - again
    # The norm after the last layer is not in it.
    assert found == pytest.approx(kept(tmp_path, how) - 4 * shape.hidden, rel=0.05)


def stored(folder: Path) -> int:
    """The number of weights, by the headers of the files."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        for tensor in header.values():
            size = 1
            for side in tensor["shape"]:
                size *= side
            total += size
    return total


@pytest.mark.parametrize("kind", ["Llama", "Gemma3Text", "Qwen3", "Phi3", "Phi", "GPT2"])
def test_parameters_are_those_of_the_files(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_config(config_of(kind)).save_pretrained(tmp_path)
    assert network_shape(tmp_path).parameters == stored(tmp_path)


def test_the_parts_of_a_small_model(tmp_path: Path) -> None:
    """By hand: hidden 32, within 64, heads 4 of 8, keys of 2 heads, 2 layers, an untied head."""
    shape = network_shape(tiny_model(tmp_path / "tiny").path)
    attention, within = 32 * 32 + 2 * 32 * 16 + 32 * 32, 3 * 32 * 64
    words = shape.vocabulary
    assert shape.parameters == 2 * words * 32 + 2 * (attention + within + 2 * 32) + 32
    # Of rank 8: 8 · (in + out) of q, k, v, o, gate, up and down.
    sides = 2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64)
    adapter = 2 * 8 * sides
    found = memory_of(shape, way(rank=8), Batch(2, 100, learnt=50))
    assert found.adapter == found.gradients == 4 * adapter
    assert found.optimizer == 8 * adapter
    assert found.weights == 2 * shape.parameters
    assert found.logits == 50 * words * 16
    assert found.copies == 2 * adapter
    whole = memory_of(shape, way(method="full", weight_bytes=4), Batch(2, 100, learnt=50))
    assert (whole.adapter, whole.merging) == (0, 0)
    assert whole.optimizer == 2 * whole.weights == 2 * whole.gradients
    assert whole.copies == 2 * 2 * (attention + within)
    assert whole.training == sum(whole.parts().values())
    pairs = memory_of(shape, way(), Batch(2, 100, learnt=50, paired=True))
    step = pairs.activations + pairs.backward + pairs.logits
    assert pairs.kept == round(0.45 * step)
    assert pairs.training - memory_of(shape, way(), Batch(2, 100, learnt=50)).training == pairs.kept
    on_gpu = memory_of(shape, way(gpu=True), Batch(2, 100, learnt=50, paired=True))
    assert on_gpu.kept == 0
    once = memory_of(
        shape, way(method="full", weight_bytes=4, accumulated=False), Batch(2, 100, learnt=50)
    )
    assert once.training < whole.training


def test_only_the_layers_with_adapters_count(tmp_path: Path) -> None:
    shape = network_shape(tiny_model(tmp_path / "tiny").path)
    found = memory_of(shape, way(rank=8, targets=("q_proj", "v_proj")), Batch(1, 10))
    assert found.adapter == 4 * 2 * 8 * (32 + 32 + 32 + 16)
    every = memory_of(shape, way(rank=8), Batch(1, 10))
    assert found.activations < every.activations


def test_four_bits_and_small_optimizers(tmp_path: Path) -> None:
    shape = network_shape(tiny_model(tmp_path / "tiny").path)
    packed = 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64)
    four = memory_of(shape, way(method="qlora", gpu=True), Batch(1, 10))
    assert four.weights == int(packed * 4.5 / 8) + 2 * (shape.parameters - packed)
    assert four.adapter * 2 == memory_of(shape, way(), Batch(1, 10)).adapter
    full = way(method="full", weight_bytes=4, optimizer="paged_adamw_8bit")
    assert memory_of(shape, full, Batch(1, 10)).optimizer == 2 * shape.parameters
    sgd = way(method="full", weight_bytes=4, optimizer="sgd")
    assert memory_of(shape, sgd, Batch(1, 10)).optimizer == 0


def test_a_reward_model_has_a_head_for_one_score(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "tiny")
    words = network_shape(model.path)
    scores = network_shape(model.path, reward=True)
    assert words.parameters - scores.parameters == words.vocabulary * 32 - 32
