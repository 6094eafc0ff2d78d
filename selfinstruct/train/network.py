"""The network in training: loads its weights and adapter, and merges them at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.models.safe import SAFE, SAFE_WEIGHTS
from selfinstruct.train import machine
from selfinstruct.train.adapter import Adapter, check_targets, lora_config
from selfinstruct.train.checkpoints import refused


def load_tokenizer(model: LocalModel) -> Any:
    """Return the model's tokenizer.

    Raises:
        ConfigError: none can be loaded.
    """
    from transformers import AutoTokenizer

    with refused(f"{model.path}: has no tokenizer that can be loaded"):
        return AutoTokenizer.from_pretrained(model.path, **SAFE)


@dataclass(frozen=True)
class Loading:
    """How a network is loaded to be trained.

    Attributes:
        method: `lora`, `qlora` or `full`.
        rank: of the adapter.
        adapter: the rest of its shape.
        attention: how attention is computed.
        bfloat16: frozen weights under an adapter are in bfloat16, not in float32.
        options: arguments of `from_pretrained`, which win over ours (TRL's `model_init_kwargs`).
    """

    method: str
    rank: int = 1
    adapter: Adapter | None = None
    attention: str = "sdpa"
    bfloat16: bool = False
    options: Mapping[str, Any] | None = None


WHOLE = Loading("full")


def load_network(
    model: LocalModel, loading: Loading = WHOLE, *, reward: bool = False
) -> tuple[Any, Any]:
    """Return the network to train and the adapter's configuration, if there is one.

    Args:
        model: where to start from.
        loading: all weights, or an adapter, and how.
        reward: with a head that scores a sequence, instead of the one that predicts a token.

    Raises:
        ConfigError: `qlora` on a machine that cannot run it, or the adapter does not fit.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    options: dict[str, Any] = {
        "attn_implementation": loading.attention,
        **(loading.options or {}),
        **SAFE_WEIGHTS,
    }
    network = AutoModelForCausalLM
    if reward:
        network = AutoModelForSequenceClassification
        options["num_labels"] = 1
    if loading.method == "full":
        options.setdefault("dtype", torch.float32)
        return network.from_pretrained(model.path, **options), None
    check_targets(AutoConfig.from_pretrained(model.path, **SAFE), loading.adapter)
    if loading.method == "qlora":
        options.setdefault("quantization_config", _four_bits())
    options.setdefault("dtype", torch.bfloat16 if loading.bfloat16 else torch.float32)
    shape = lora_config(loading.rank, loading.adapter, reward=reward)
    return network.from_pretrained(model.path, **options), shape


def check_four_bits() -> None:
    """Refuse weights of 4 bits where they cannot be.

    Raises:
        ConfigError: there is no GPU, or bitsandbytes is not installed.
    """
    here = machine.this_machine()
    if not here.gpu or "bitsandbytes" not in here.packages:
        raise ConfigError("--load-in-4bit: needs a GPU and the bitsandbytes package; leave it out")


def _four_bits() -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    check_four_bits()
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )


def merged_network(network: Any, tokenizer: Any, model: LocalModel, method: str) -> Any:
    """Return the network with its adapter merged, in the number type of the original model.

    It ends its answers with the tokenizer's end-of-sequence token, and no other.
    """
    import torch

    merged = network
    if method == "qlora":
        merged = _over_whole_weights(network, model)
    if method != "full":
        merged = merged.to(torch.float32).merge_and_unload()
    stored = str(model.config.get("dtype") or model.config.get("torch_dtype") or "float32")
    merged = merged.to(getattr(torch, stored.removeprefix("torch.")))
    # It was trained to end with this token, and no other.
    merged.generation_config.eos_token_id = tokenizer.eos_token_id
    merged.generation_config.pad_token_id = tokenizer.pad_token_id
    merged.config.eos_token_id = tokenizer.eos_token_id
    merged.config.use_cache = True
    return merged


def merged_reward(network: Any, tokenizer: Any, model: LocalModel, method: str) -> Any:
    """Return a reward model with its adapter merged, in float32, since its scores are compared."""
    import torch

    merged = network
    if method == "qlora":
        merged = _over_whole_weights(network, model, reward=True)
    merged = merged.to(torch.float32)
    if method != "full":
        merged = merged.merge_and_unload()
    # The model finds the end of a padded sequence by this token, and scores it there.
    merged.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return merged


def _over_whole_weights(network: Any, model: LocalModel, *, reward: bool = False) -> Any:
    """Return the adapter over the model's own weights: 4-bit weights cannot be merged into."""
    import tempfile

    from peft import PeftModel

    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        base, _ = load_network(model, reward=reward)
        return PeftModel.from_pretrained(base, folder)
