"""The shape of a network, from its configuration alone: no weight is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.models.safe import SAFE

# Layers that end a block, by the names that transformers gives them. Others end it by their place.
_LAST = frozenset({"o_proj", "down_proj", "out_proj", "c_proj", "dense", "fc2", "wo", "w2"})
# Activations that transformers writes out in several steps: how many results they keep.
_STEPS = {"gelu_new": 3, "gelu_fast": 3, "gelu_accurate": 3}


@dataclass(frozen=True)
class Linear:
    """A linear layer: its own name, and the sizes of what it reads and writes.

    `last` says that it ends its block: it reads what the block made, all others what came in.
    """

    name: str
    inputs: int
    outputs: int
    last: bool


@dataclass(frozen=True)
class Block:
    """Attention or a feed-forward block: its linear layers, and sizes of norms within."""

    linear: tuple[Linear, ...]
    attention: bool
    norms: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """The size of what the block makes, which its last layer reads."""
        return next(layer.inputs for layer in self.linear if layer.last)

    @property
    def made(self) -> int:
        """The size of what its first layers write together."""
        return sum(layer.outputs for layer in self.linear if not layer.last)


@dataclass(frozen=True)
class Shape:
    """What decides how much memory a network takes.

    Attributes:
        parameters: their number; those shared by two layers count once.
        hidden: the size of what goes from layer to layer.
        layers: how many layers repeat.
        heads: of attention, in a layer.
        vocabulary: how many tokens there are.
        blocks: all attention and feed-forward blocks.
        norms: sizes of what the norms between them read.
        experts: the size that the experts of all layers make for one token.
        steps: how many results the activation function keeps.
    """

    parameters: int
    hidden: int
    layers: int
    heads: int
    vocabulary: int
    blocks: tuple[Block, ...]
    norms: tuple[int, ...]
    experts: int = 0
    steps: int = 1

    @property
    def linear(self) -> Iterator[Linear]:
        """All linear layers, but for the one that predicts the token."""
        return (layer for block in self.blocks for layer in block.linear)


def network_shape(path: Path, *, reward: bool = False) -> Shape:
    """Return the shape of a model in a folder.

    Args:
        path: the folder, with its `config.json`.
        reward: with a head that scores a sequence.

    Raises:
        OSError, ValueError, ...: whatever transformers raises for a configuration that it cannot
            make a network of.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(path, **SAFE)
    auto = AutoModelForCausalLM
    if reward:
        auto, config.num_labels = AutoModelForSequenceClassification, 1
    with torch.device("meta"):  # tensors without memory
        network = auto.from_config(config, trust_remote_code=False)
    text = config.get_text_config()
    blocks = tuple(_blocks(network, text))
    return Shape(
        parameters=sum(weight.numel() for weight in network.parameters()),
        hidden=text.hidden_size,
        layers=text.num_hidden_layers,
        heads=text.num_attention_heads,
        vocabulary=text.vocab_size,
        blocks=blocks,
        norms=tuple(_norms(network)),
        experts=_experts(text),
        steps=_STEPS.get(str(_activation(text)), 1),
    )


def _blocks(network: Any, text: Any) -> Iterator[Block]:
    heads = {network.get_output_embeddings(), getattr(network, "score", None)}
    for module in network.modules():
        found = {
            name: child
            for name, child in module.named_children()
            if _is_linear(child) and child not in heads
        }
        if not found:
            continue
        last = next((name for name in found if name in _LAST), [*found][-1])
        linear = tuple(
            Linear(name, *_sizes(child), last=name == last) for name, child in found.items()
        )
        attention = "attention" in type(module).__name__.lower()
        norms = tuple(_direct_norms(module))
        if norms and attention:  # of each head: the queries' first, then the keys'
            queries = Block(linear, attention).width
            heads_of_keys = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
            norms = (queries, queries * heads_of_keys // text.num_attention_heads)[: len(norms)]
        yield Block(linear, attention, norms)


def _norms(network: Any) -> Iterator[int]:
    """Yield the sizes of norms that are in no block with linear layers."""
    for module in network.modules():
        if not any(map(_is_linear, module.children())):
            yield from _direct_norms(module)


def _is_linear(module: Any) -> bool:
    import torch
    from transformers.pytorch_utils import Conv1D  # GPT-2's, with its weight the other way round

    return isinstance(module, torch.nn.Linear | Conv1D)


def _sizes(linear: Any) -> tuple[int, int]:
    import torch

    outputs, inputs = linear.weight.shape
    if not isinstance(linear, torch.nn.Linear):
        outputs, inputs = inputs, outputs
    return int(inputs), int(outputs)


def _direct_norms(module: Any) -> Iterator[int]:
    for child in module.children():
        weight = getattr(child, "weight", None)
        if "norm" in type(child).__name__.lower() and weight is not None:
            yield weight.numel()


def _activation(text: Any) -> Any:
    names = ("hidden_act", "hidden_activation", "activation_function")
    return next((getattr(text, name) for name in names if getattr(text, name, None)), None)


def _experts(text: Any) -> int:
    """Return the size that the experts of all layers make for one token; 0 without experts."""
    used = getattr(text, "num_experts_per_tok", None) or 0
    widths = (getattr(text, name, None) for name in ("moe_intermediate_size", "intermediate_size"))
    return int(used * next(filter(None, widths), 0) * text.num_hidden_layers)
