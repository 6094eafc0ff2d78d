"""TRL's SFTTrainer, with our progress, a stop where the loss is no number, and a lean loss.

Imports TRL as it is loaded, which takes seconds: import it where training begins.
"""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTTrainer

from selfinstruct.errors import TrainError
from selfinstruct.train.encode import IGNORED
from selfinstruct.train.progress import Listen, TrainProgress


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Hands on what the trainer logs. `tokens` have been trained on since it started."""

    def __init__(self, listen: Listen) -> None:
        self.tokens = 0
        self._listen = listen
        self._started = time.perf_counter()

    def on_log(self, _args: Any, state: Any, _control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        logs = kwargs.get("logs") or {}
        self._listen(
            TrainProgress(
                step=state.global_step,
                steps=state.max_steps,
                epoch=float(state.epoch or 0.0),
                loss=logs.get("loss"),
                validation_loss=logs.get("eval_loss"),
                tokens=self.tokens,
                seconds=time.perf_counter() - self._started,
            )
        )


class Trainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer that reports, stops at once where the loss is no number, and is fast on a CPU.

    TRL scores every position on a CPU, with entropies; of our rows a third is learnt.
    """

    def __init__(self, *args: Any, reporter: Reporter, checkpoints: Path, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.add_callback(reporter)
        self._reporter = reporter
        self._checkpoints = checkpoints
        base = getattr(self.model, "get_base_model", lambda: self.model)()
        scored = inspect.signature(type(base).forward).parameters
        self._lean = not torch.cuda.is_available() and "logits_to_keep" in scored

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        if self.model.training:
            # Packs have no padding; rows that are not packed have a mask.
            mask = inputs.get("attention_mask")
            counted = inputs["input_ids"].numel() if mask is None else mask.sum()
            self._reporter.tokens += int(counted) * self.accelerator.num_processes
        if return_outputs or not self._lean:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        total, learnt = learnt_loss(model, inputs)
        if num_items_in_batch is None:
            return total / max(learnt, 1)
        # Each process has its share of the batch, and gradients are averaged over processes.
        shared = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return total / num_items_in_batch * shared

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise TrainError(
                f"the loss is {float(loss)} at step {self.state.global_step + 1}; "
                f"{self._checkpoints} has the last good checkpoint: lower --learning-rate, "
                "and look at the rows around it (data order is that of the seed)"
            )
        return loss


def learnt_loss(model: Any, inputs: Any) -> tuple[Any, int]:
    """Return the summed cross entropy of the learnt tokens in nats, and their number.

    Logits are computed for positions that have a learnt token after them in some row alone:
    with a vocabulary of 262,144 words they are the dearest part of a step.

    Args:
        model: a causal language model whose forward takes `logits_to_keep`.
        inputs: `input_ids` and `labels`, (rows, tokens), and `position_ids` or
            `attention_mask` of the same shape.
    """
    given = {name: value for name, value in inputs.items() if name != "labels"}
    following = inputs["labels"][:, 1:]
    keep = (following != IGNORED).any(dim=0).nonzero().squeeze(1)
    targets = following[:, keep].reshape(-1)
    # Without this, transformers does not keep packed rows apart.
    given["use_cache"] = False
    logits = model(**given, logits_to_keep=keep).logits
    flat = logits.reshape(-1, logits.shape[-1]).float()
    total = cross_entropy(flat, targets, ignore_index=IGNORED, reduction="sum")
    return total, int((targets != IGNORED).sum())
