"""The network in training: loads its weights and adapter, and merges them at the end."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel
from selfinstruct.models.safe import SAFE, SAFE_WEIGHTS
from selfinstruct.train.checkpoints import refused


def bf16_pays() -> bool:
    """Whether bfloat16 pays on this machine."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return "avx512_bf16" in _cpu_flags() or "amx_bf16" in _cpu_flags()


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return set(line.split())


def load_tokenizer(model: LocalModel) -> Any:
    """Return the model's tokenizer.

    Raises:
        ConfigError: none can be loaded.
    """
    from transformers import AutoTokenizer

    with refused(f"{model.path}: has no tokenizer that can be loaded"):
        return AutoTokenizer.from_pretrained(model.path, **SAFE)


def load_network(
    model: LocalModel, method: str, lora_r: int, *, reward: bool = False
) -> tuple[Any, Any]:
    """Return the network to train and the adapter's configuration, if there is one.

    Args:
        model: where to start from.
        method: `lora`, `qlora` or `full`.
        lora_r: rank of the adapter (Hu et al. 2021, arXiv:2106.09685). Its alpha is twice that.
        reward: with a head that scores a sequence, instead of the one that predicts a token.

    Raises:
        ConfigError: `qlora` on a machine that cannot run it.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    options: dict[str, Any] = {**SAFE_WEIGHTS, "attn_implementation": "sdpa"}
    loader = AutoModelForCausalLM
    if reward:
        loader = AutoModelForSequenceClassification
        options["num_labels"] = 1
    if method == "full":
        options["dtype"] = torch.float32
        return loader.from_pretrained(model.path, **options), None
    from peft import LoraConfig

    if method == "qlora":
        options["quantization_config"] = _four_bits()
    options["dtype"] = torch.bfloat16 if bf16_pays() else torch.float32
    adapter = LoraConfig(
        r=lora_r,
        lora_alpha=2 * lora_r,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="SEQ_CLS" if reward else "CAUSAL_LM",
        # The head is new, and is trained whole.
        modules_to_save=["score"] if reward else None,
    )
    return loader.from_pretrained(model.path, **options), adapter


def _four_bits() -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if not torch.cuda.is_available() or find_spec("bitsandbytes") is None:
        raise ConfigError("--load-in-4bit: needs a GPU and the bitsandbytes package; leave it out")
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
        base, _ = load_network(model, "full", 0, reward=reward)
        return PeftModel.from_pretrained(base, folder)
