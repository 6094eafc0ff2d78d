"""How a training uses the machine it is on: attention, packs, checkpointing, kernels.

All that is chosen here follows from `machine.this_machine` and the estimate of memory. A field that
the user has set is never changed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfinstruct.common.records import LocalModel
from selfinstruct.train import machine
from selfinstruct.train.attention import is_in_blocks
from selfinstruct.train.checkpoints import Course, course_of
from selfinstruct.train.footprint import Batch, Memory, Way, gigabytes, memory_of
from selfinstruct.train.machine import Machine
from selfinstruct.train.recipe import DataT, Examples, Job, Recipe, SettingsT
from selfinstruct.train.shape import Shape, network_shape

log = logging.getLogger(__name__)

# What the loader gets, since TRL gets a model that is loaded.
LOADER = "model_init_kwargs"
# Tokens of a step: as many as the recipe has on a CPU, and as many as a GPU is busy with.
_LEAST_STEP, _MOST_STEP = 1024, 16384
# An epoch has at least so many steps, as far as `_LEAST_STEP` allows: a learning rate that is
# right for a small data set must not be used for two steps.
_STEPS = 50
# Tokens of a pack where attention also computes what it then masks: its cost grows by the square.
_DENSE_PACK = 2048
# Fields that change the losses and that a machine decides, where the user does not.
_DECIDED = (
    *("bf16", "max_length", "packing"),
    *("per_device_train_batch_size", "gradient_accumulation_steps"),
)
_SIZES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Fit:
    """A training as it runs on this machine.

    Attributes:
        arguments: fields of TRL's configuration.
        attention: how attention is computed.
        machine: what it runs on.
        batch: the largest batch.
        way: how it trains; None where the shape of the network is not known.
        shape: of the network.
    """

    arguments: dict[str, Any]
    attention: str
    machine: Machine
    batch: Batch
    way: Way | None = None
    shape: Shape | None = None

    @property
    def course(self) -> Course:
        """What this machine decided, for a resume on another one."""
        fields = {name: self.arguments[name] for name in _DECIDED if name in self.arguments}
        return Course(self.machine.bfloat16, fields)

    @property
    def memory(self) -> Memory | None:
        """The estimate; None where the shape of the network is not known."""
        if self.way is None or self.shape is None:
            return None
        return memory_of(self.shape, self.way, self.batch)

    @property
    def fits(self) -> bool | None:
        """Whether the machine has the memory; None where that is not known."""
        memory = self.memory
        return None if memory is None else memory.peak <= self.machine.usable


def pack_of(
    lengths: Sequence[int], longest: int, at_once: int, here: Machine, attention: str
) -> tuple[int, int]:
    """Return the tokens of a pack on a GPU, and how many batches make a step.

    A step has a fiftieth of an epoch's tokens, between 1,024 and 16,384, in one pack, if attention
    keeps rows apart without computing what it masks (flash, flex); otherwise in packs of 2,048.

    Args:
        lengths: of the rows to train on, in tokens.
        longest: of these and the rows that are held out.
        at_once: packs in a batch.
        here: the machine.
        attention: how it is computed.
    """
    share = sum(lengths) // _STEPS // here.processes
    step = max(_LEAST_STEP, min(_MOST_STEP, share)) // at_once
    most = _MOST_STEP if is_in_blocks(attention) else _DENSE_PACK
    pack = max(min(step, most), longest)
    return pack, max(1, round(step / pack))


def kept_course(job: Job[Any, Any]) -> Course | None:
    """Return the course that a resumed training keeps; None if it has none to keep."""
    return course_of(job.out) if job.resume else None


def machine_for(job: Job[Any, Any], options: Mapping[str, Any]) -> Machine:
    """Return this machine, with the number type that the training began in.

    So a training goes on as it began, also where that is slower.
    """
    here, course = machine.this_machine(options), kept_course(job)
    return here if course is None else replace(here, bfloat16=course.bfloat16)


def chosen_attention(
    recipe: Recipe[Any, Any, Any], settings: Any, options: Mapping[str, Any], here: Machine
) -> str:
    """Return how attention is computed: as the user says, or the best that this training can use.

    Flash attention takes 16 bits alone. Weights in float32 are in 16 bits under autocast, so a
    recipe that also runs them without it gets sdpa.
    """
    named = (options.get(LOADER) or {}).get("attn_implementation") or settings.attention
    if named:
        return str(named)
    half = _weight_bytes(settings, options, here) == 2
    if not half:
        half = _autocast(options, here) and not recipe.outside_autocast
    return here.attention if half and not recipe.scores else "sdpa"


def machine_fields(
    recipe: Recipe[Any, Any, Any], options: Mapping[str, Any], here: Machine
) -> dict[str, Any]:
    """Return the fields that depend on the device alone."""
    fields: dict[str, Any] = {"bf16": _autocast(options, here) and not options.get("fp16")}
    fields["use_cpu"] = not here.gpu
    loader = options.get(LOADER) or {}
    liger = here.gpu and "liger-kernel" in here.packages and not recipe.scores
    if liger and not loader.get("use_kernels"):
        fields["use_liger_kernel"] = True
    return fields


def fitted(
    recipe: Recipe[DataT, SettingsT, Any],
    job: Job[DataT, SettingsT],
    examples: Examples,
    fields: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Fit:
    """Return the training with checkpointing, and smaller packs, where memory needs them.

    Args:
        recipe: the way to train.
        job: what to train.
        examples: its data.
        fields: of TRL's configuration, the user's among them.
        options: the user's fields.
    """
    here = machine_for(job, options)
    attention = chosen_attention(recipe, job.settings, options, here)
    batch = replace(
        _batch(recipe, examples, fields, here), watched=recipe.watched(job.settings, examples)
    )
    fit = Fit(dict(fields), attention, here, batch)
    try:
        shape = network_shape(job.model.path, reward=recipe.scores)
        beside = _bytes_beside(recipe.beside(job.data), here)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        log.info("%s: its memory cannot be estimated (%s)", job.model.path, error)
        if "gradient_checkpointing" not in options:
            fit.arguments["gradient_checkpointing"] = here.gpu
        return fit
    fit = replace(fit, shape=shape, way=replace(_way(recipe, job, fit, options), beside=beside))
    if "gradient_checkpointing" not in options:
        fit = _checkpointed(fit)
    # Only on a GPU are packs larger than they must be.
    packs = here.gpu and fields.get("packing") and "gradient_accumulation_steps" not in options
    least = max(_LEAST_STEP, _longest(recipe, examples))
    while packs and _is_too_much(fit) and fit.arguments["max_length"] > least:
        fit = _halved(recipe, examples, fit, least)
    return fit


def _bytes_beside(model: LocalModel | None, here: Machine) -> int:
    """Return the bytes of a frozen network; 0 without one."""
    if model is None:
        return 0
    return network_shape(model.path).parameters * (2 if here.bfloat16 else 4)


def with_way(fit: Fit, **changes: Any) -> Fit:
    """Return the training as another way would have it, to compare their memory."""
    return fit if fit.way is None else replace(fit, way=replace(fit.way, **changes))


def _checkpointed(fit: Fit) -> Fit:
    without = with_way(fit, checkpointing=False)
    needed = _is_too_much(without)
    if needed and without.memory is not None:
        log.warning(
            "gradient checkpointing is on: without it the training takes about %s, and %s are "
            "free; --set gradient_checkpointing=false turns it off",
            gigabytes(without.memory.training),
            gigabytes(fit.machine.memory),
        )
    arguments = {**fit.arguments, "gradient_checkpointing": needed}
    return replace(with_way(fit, checkpointing=needed), arguments=arguments)


def _is_too_much(fit: Fit) -> bool:
    """Whether a step does not fit; merging and evaluations take the same whatever a step is."""
    return fit.memory is not None and fit.memory.training > fit.machine.usable


def _halved(recipe: Recipe[Any, Any, Any], examples: Examples, fit: Fit, least: int) -> Fit:
    """Return the training with packs of half the tokens, and more of them in a step."""
    fields = fit.arguments
    pack = max(least, fields["max_length"] // 2)
    batches = round(fields["gradient_accumulation_steps"] * fields["max_length"] / pack)
    arguments = {**fields, "max_length": pack, "gradient_accumulation_steps": batches}
    batch = _batch(recipe, examples, arguments, fit.machine)
    return replace(with_way(fit, accumulated=batches > 1), arguments=arguments, batch=batch)


def _longest(recipe: Recipe[Any, Any, Any], examples: Examples) -> int:
    return max(max(recipe.sequences(row)) for row in (*examples.train, *examples.held_out))


def _batch(
    recipe: Recipe[Any, Any, Any], examples: Examples, fields: Mapping[str, Any], here: Machine
) -> Batch:
    """Return the largest batch: the longest rows beside each other, or a full pack."""
    at_once = int(fields.get("per_device_train_batch_size") or 8)
    every = [recipe.sequences(row) for row in examples.train]
    if fields.get("packing"):
        total = sum(map(sum, every))
        rows, length = 1, min(total, at_once * int(fields["max_length"]))
        share = sum(map(recipe.learnt, examples.train)) / max(total, 1)
        learnt = round(length * share)
    else:
        rows, length = at_once * len(every[0]), max(map(max, every))
        learnt = rows * length
    whole = recipe.whole_logits and not here.gpu
    scored = int(fields.get("per_device_eval_batch_size") or 8) * len(every[0]) * length
    tiled = not whole and not recipe.scores
    learnt_at_once, paired = learnt if whole else None, len(every[0]) > 1
    return Batch(rows, length, learnt_at_once, scored=scored if tiled else 0, paired=paired)


def _way(
    recipe: Recipe[Any, Any, Any],
    job: Job[Any, Any],
    fit: Fit,
    options: Mapping[str, Any],
) -> Way:
    settings, fields = job.settings, fit.arguments
    adapter = settings.adapter
    size = _weight_bytes(settings, options, fit.machine)
    return Way(
        method=settings.method,
        gpu=fit.machine.gpu,
        weight_bytes=size,
        autocast=size == 2 or bool(fields.get("bf16") or fields.get("fp16")),
        attention=fit.attention,
        checkpointing=bool(fields.get("gradient_checkpointing")),
        optimizer=str(getattr(fields.get("optim"), "value", fields.get("optim") or "adamw")),
        accumulated=int(fields.get("gradient_accumulation_steps") or 1) > 1,
        rank=settings.lora_r,
        targets=adapter.targets if adapter else None,
        scores=recipe.scores,
        reference=recipe.reference and settings.method == "full",
        merges=settings.merge,
        processes=fit.machine.processes,
    )


def _weight_bytes(settings: Any, options: Mapping[str, Any], here: Machine) -> int:
    asked = (options.get(LOADER) or {}).get("dtype")
    name = str(asked).removeprefix("torch.")
    usual = 2 if settings.method != "full" and here.bfloat16 else 4
    return _SIZES.get(name, usual)


def _autocast(options: Mapping[str, Any], here: Machine) -> bool:
    """Whether it computes in 16 bits: as the user says, or where the device is fast at it."""
    if options.get("fp16"):
        return True
    asked = options.get("bf16")
    return here.bfloat16 if asked is None else bool(asked)
