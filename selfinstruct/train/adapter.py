"""The adapter of a training (LoRA, Hu et al. 2021, arXiv:2106.09685): its shape and its places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.suggest import did_you_mean

ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class Adapter:
    """The shape of an adapter beside its rank; None is the default.

    Attributes:
        alpha: scale of what it adds: alpha ÷ rank. Default: twice the rank.
        dropout: share of its inputs that is dropped. Default: 0.
        targets: names of the linear layers that it stands beside. Default: all of them, but for
            the one that predicts the token.
        dora: weight-decomposed (Liu et al. 2024, arXiv:2402.09353).
    """

    alpha: int | None = None
    dropout: float | None = None
    targets: tuple[str, ...] | None = None
    dora: bool | None = None


def lora_config(rank: int, adapter: Adapter | None, *, reward: bool = False) -> Any:
    """Return peft's configuration of an adapter.

    Args:
        rank: of its matrices.
        adapter: the rest of its shape.
        reward: the network scores a sequence. Its head is new, and is trained whole.
    """
    from peft import LoraConfig

    shape = adapter or Adapter()
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank if shape.alpha is None else shape.alpha,
        lora_dropout=shape.dropout or 0.0,
        target_modules=list(shape.targets) if shape.targets else ALL_LINEAR,
        use_dora=bool(shape.dora),
        task_type="SEQ_CLS" if reward else "CAUSAL_LM",
        modules_to_save=["score"] if reward else None,
    )


def check_targets(model_config: Any, adapter: Adapter | None) -> None:
    """Refuse layers that the model lacks, without loading its weights.

    Args:
        model_config: transformers' configuration of the model.
        adapter: names the layers.

    Raises:
        ConfigError: a name is no linear layer of the model. Says which there are.
    """
    if adapter is None or not adapter.targets:
        return
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(model_config, trust_remote_code=False)
    linear = {
        name.rpartition(".")[2]
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not network.get_output_embeddings()
    }
    for target in adapter.targets:
        if target not in linear:
            raise ConfigError(
                f"--lora-targets {target}: the model has no such linear layer; "
                f"{did_you_mean(target, linear)}it has {', '.join(sorted(linear))}"
            )
