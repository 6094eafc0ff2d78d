"""An estimate of the memory that a training takes, before a weight is read.

Counted is what autograd keeps for the backward pass in the code of transformers: for each linear
layer that is trained what it reads, for attention its queries, keys, values and result, for a
feed-forward block what its activation and product read, for a norm what it reads, in float32. On
top comes what the backward pass works with. The tests compare the first with what autograd really
keeps, and all of it with the peak of trainings.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from selfinstruct.train.shape import Block, Linear, Shape

# Bytes of a parameter's state, by the start of the optimizer's name; the first that fits.
_STATES = (
    *(("paged_adamw_8bit", 2), ("adamw_8bit", 2), ("adamw_bnb_8bit", 2), ("adamw_torch_8bit", 2)),
    *(("adamw_torch_4bit", 1), ("adafactor", 0), ("sgd", 0), ("lion_8bit", 1), ("paged_lion", 4)),
    *(("lion", 4), ("rmsprop", 4), ("adagrad", 4), ("lomo", 0), ("adalomo", 0)),
)
_ADAM = 8  # two moments in float32
# Tokens and words of the tile in which TRL computes logits (trl.kernels.chunked_logprob).
_TILE_TOKENS, _TILE_WORDS = 4096, 32768
# A weight of four bits, with the scale of each block of 64 (Dettmers et al. 2023, NF4).
_FOUR_BITS = 4.5 / 8
# Python with torch, transformers and TRL, before a weight is there (measured on a CPU); what
# CUDA takes on a GPU for itself was not measured.
PROCESS = 900_000_000
# What the backward pass works with, and blocks that are free but of the wrong size, in layers'
# worth of activations. Fitted to peaks measured on a CPU (docs/gpus.md).
_BACKWARD = 4
# Pairs come in padded batches of ever new lengths, and the C library keeps the blocks of earlier
# ones. As a share of what a step takes beside the weights; fitted to three peaks (docs/gpus.md).
_KEPT = 0.45
_ON_GPU = 600_000_000


@dataclass(frozen=True)
class Batch:
    """What goes through the network at once: rows of `length` tokens, padding included.

    learnt: positions whose logits are computed at once; None if they are computed in tiles.
    watched: positions whose logits are computed at once, twice, between the steps.
    scored: tokens of the largest batch of an evaluation, where logits are computed in tiles.
    paired: the rows are those of pairs of answers.
    """

    rows: int
    length: int
    learnt: int | None = None
    watched: int = 0
    scored: int = 0
    paired: bool = False

    @property
    def tokens(self) -> int:
        return self.rows * self.length


@dataclass(frozen=True)
class Way:
    """How the network is trained, as far as its memory depends on that.

    Attributes:
        method: `lora`, `qlora` or `full`.
        gpu: on a GPU.
        weight_bytes: of each weight of the model, as it is loaded.
        autocast: whether it computes in 16 bits, whatever its weights are.
        attention: how attention is computed.
        checkpointing: keep only what goes from layer to layer, and compute the rest again.
        optimizer: its name in transformers.
        accumulated: whether gradients are kept while the next batch is computed.
        rank: of the adapter.
        targets: names of the layers with adapters; None is all of them.
        scores: the network has a head that is new and trained whole (a reward model's).
        reference: a second, frozen network beside it, of the same shape.
        beside: bytes of a frozen network of any shape beside it (a teacher).
        merges: the adapter is merged at the end, in float32.
        processes: that share the work, each with all weights.
    """

    method: str
    gpu: bool
    weight_bytes: int
    autocast: bool
    attention: str
    checkpointing: bool
    optimizer: str
    accumulated: bool
    rank: int = 16
    targets: tuple[str, ...] | None = None
    scores: bool = False
    reference: bool = False
    beside: int = 0
    merges: bool = True
    processes: int = 1


@dataclass(frozen=True)
class Memory:
    """Bytes of one process, by what they hold.

    `watching` is what evaluations take beside the weights, and `merging` all of the merge at the
    end. `together` says that gradients are there while activations are.
    """

    process: int
    weights: int
    copies: int
    adapter: int
    gradients: int
    optimizer: int
    reference: int
    teacher: int
    activations: int
    backward: int
    logits: int
    kept: int
    watching: int
    merging: int
    together: bool

    @property
    def training(self) -> int:
        """Bytes at the peak of a step.

        Without accumulation gradients grow while activations go, so only the larger counts.
        """
        passing = self.copies + self.activations + self.backward + self.logits + self.kept
        if self.together:
            return self.held + passing + self.gradients
        return self.held + max(passing, self.gradients)

    @property
    def held(self) -> int:
        """Bytes that are there all the time."""
        networks = self.weights + self.adapter + self.reference + self.teacher
        return self.process + networks + self.optimizer

    @property
    def peak(self) -> int:
        """Bytes at the peak of the whole training."""
        return max(self.training, self.held + self.watching, self.merging)

    def parts(self) -> dict[str, int]:
        """Return the bytes of a step by part."""
        others = ("watching", "merging", "together")
        names = [field.name for field in fields(self) if field.name not in others]
        return {name: getattr(self, name) for name in names}


def memory_of(shape: Shape, way: Way, batch: Batch) -> Memory:
    """Return the estimate.

    Args:
        shape: of the network.
        way: how it is trained.
        batch: the largest batch.
    """
    full = way.method == "full"
    adapted = [] if full else [layer for layer in shape.linear if _is_target(layer, way)]
    adapter = sum(way.rank * (layer.inputs + layer.outputs) for layer in adapted)
    adapter += shape.hidden if way.scores and not full else 0
    trained = shape.parameters if full else adapter
    # Autocast keeps a copy in 16 bits of each trained matrix until the backward pass has used it.
    matrices = sum(layer.inputs * layer.outputs for layer in shape.linear) if full else adapter
    # TRL keeps the adapters of QLoRA in bfloat16.
    size = 2 if way.method == "qlora" else 4
    gradients = size * trained
    process = PROCESS if not way.gpu else _ON_GPU
    weights = _weights(shape, way)
    state = next((n for name, n in _STATES if way.optimizer.startswith(name)), _ADAM)
    optimizer = state * trained * size // 4
    reference = way.weight_bytes * shape.parameters if way.reference else 0
    step = {
        "activations": _activations(shape, way, batch),
        "backward": _backward(shape, way, batch),
        "logits": _logits(shape, way, batch),
    }
    keeps = batch.paired and not way.gpu
    merging = 0
    if way.merges and not full:
        merging = process + 4 * shape.parameters + size * adapter + gradients + optimizer
    return Memory(
        process=process,
        weights=weights,
        copies=2 * matrices if way.autocast else 0,
        adapter=size * adapter,
        gradients=gradients * (2 if way.processes > 1 else 1),  # and the buckets that are sent
        optimizer=optimizer,
        reference=reference,
        teacher=way.beside,
        **step,
        kept=round(_KEPT * sum(step.values())) if keeps else 0,
        watching=_watching(shape, way, batch),
        merging=merging,
        together=way.accumulated or way.processes > 1,
    )


def activations_per_token(shape: Shape, way: Way, length: int) -> int:
    """Return the bytes that autograd keeps for each token without checkpointing.

    Args:
        shape: of the network.
        way: how it is trained.
        length: tokens that attend to each other, which eager attention pays for.
    """
    kept = sum(_kept_by_block(block, shape, way, length) for block in shape.blocks)
    norms = (*shape.norms, *(size for block in shape.blocks for size in block.norms))
    # The input, and what the weight of the norm is multiplied with where it is trained.
    kept += (8 if way.method == "full" else 4) * sum(norms)
    return kept + 5 * _compute(way) * shape.experts


def _activations(shape: Shape, way: Way, batch: Batch) -> int:
    each = activations_per_token(shape, way, batch.length)
    if way.checkpointing:
        # What goes from layer to layer, and all of the one layer that is computed again.
        residual = shape.hidden * (4 if way.method == "full" or not way.autocast else 2)
        each = shape.layers * residual + each // shape.layers
    return batch.tokens * each


def _backward(shape: Shape, way: Way, batch: Batch) -> int:
    layer = activations_per_token(shape, way, batch.length) // shape.layers
    return batch.tokens * layer * min(_BACKWARD, shape.layers)


def _kept_by_block(block: Block, shape: Shape, way: Way, length: int) -> int:
    size = _compute(way)
    kept, shared = 0, False
    for layer in block.linear:
        if way.method != "full" and not _is_target(layer, way):
            continue
        # Autocast gives each layer a copy of its own; otherwise they share what came in.
        if way.autocast or layer.last or not shared:
            kept += size * layer.inputs
        shared = shared or not layer.last
        kept += 0 if way.method == "full" else size * way.rank
    if not block.attention:
        gated = block.made >= 2 * block.width
        return kept + size * (shape.steps * block.made + (block.width if gated else 0))
    if _is_lean(way.attention):
        return kept + size * (block.made + block.width)
    # Keys and values are repeated for all heads.
    kept += size * 4 * block.width
    if way.attention == "eager":
        kept += (size + 4) * shape.heads * length  # weights, and the softmax in float32
    return kept


def _watching(shape: Shape, way: Way, batch: Batch) -> int:
    # Of policy and reference, and both in float32 with their log-probabilities.
    fresh = batch.watched * shape.vocabulary * 2 * (way.weight_bytes + 4)
    # Without Triton the tile is there in three more forms, in float32 (`_forward_tile`).
    return max(fresh, _tile(shape, batch.scored, _compute(way) + (0 if way.gpu else 12)))


def _tile(shape: Shape, tokens: int, size: int) -> int:
    return min(tokens, _TILE_TOKENS) * min(shape.vocabulary, _TILE_WORDS) * size


def _logits(shape: Shape, way: Way, batch: Batch) -> int:
    if way.scores:
        return 0
    if batch.learnt is None:
        # Without Triton the backward pass has seven forms of the tile in float32 at once, and one
        # of truth values (`_backward_tile`).
        return _tile(shape, batch.tokens, _compute(way) + (0 if way.gpu else 29))
    # Logits, their float32 form and its log-softmax; then the gradients of both. The C library
    # keeps what each thread has freed, and the backward pass runs in a thread of its own.
    return batch.learnt * shape.vocabulary * (16 if way.autocast else 12)


def _weights(shape: Shape, way: Way) -> int:
    if way.method != "qlora":
        return way.weight_bytes * shape.parameters
    packed = sum(layer.inputs * layer.outputs for layer in shape.linear)
    return int(_FOUR_BITS * packed) + way.weight_bytes * (shape.parameters - packed)


def _compute(way: Way) -> int:
    return 2 if way.autocast else 4


def _is_lean(attention: str) -> bool:
    return "flash" in attention


def _is_target(layer: Linear, way: Way) -> bool:
    return way.targets is None or layer.name in way.targets


def gigabytes(count: int | None) -> Any:
    """Return bytes as a text in GB; "?" where they are not known."""
    return "?" if count is None else f"{count / 1e9:.2f} GB"
