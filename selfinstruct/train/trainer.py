"""TRL's SFTTrainer, with our progress, a stop where the loss is no number, and a lean loss.

Imports TRL as it is loaded, which takes seconds: import it where training begins.
"""

from __future__ import annotations

import inspect
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTTrainer

from selfinstruct.errors import DivergedError
from selfinstruct.train.encode import IGNORED
from selfinstruct.train.progress import Listen, TrainProgress

# In a checkpoint: what was counted until then.
_COUNTS = "counts.json"
SHOWN = 24  # tokens of a batch, in an error


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Hands on what the trainer logs, and counts `tokens` and `seconds` over resumptions."""

    def __init__(self, listen: Listen, checkpoints: Path, checkpoint: Path | None = None) -> None:
        self._listen = listen
        self.checkpoints = checkpoints
        self._started = time.perf_counter()
        self.tokens, self._before = 0, 0.0
        self.batch: Any = None
        self._predicted = 0
        if checkpoint is not None and (checkpoint / _COUNTS).is_file():
            counts = json.loads((checkpoint / _COUNTS).read_text(encoding="utf-8"))
            self.tokens, self._before = int(counts["tokens"]), float(counts["seconds"])

    def first_tokens(self, tokenizer: Any) -> str:
        """Return how the last batch begins, to find its rows by."""
        return str(tokenizer.decode(self.batch)) if self.batch is not None else ""

    @property
    def seconds(self) -> float:
        """What training has taken, other processes before this one included."""
        return self._before + time.perf_counter() - self._started

    def waits_for(self, what: str, done: int, wanted: int) -> None:
        """Say how far something is that training waits for."""
        self._listen(TrainProgress(done, wanted, 0.0, None, None, self.tokens, self.seconds, what))

    def on_prediction_step(self, _args: Any, state: Any, _control: Any, **kwargs: Any) -> None:
        loader = kwargs.get("eval_dataloader")
        if loader is None or not state.is_world_process_zero:
            return
        self._predicted = self._predicted % len(loader) + 1
        self.waits_for("held-out rows", self._predicted, len(loader))

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            counts = {"tokens": self.tokens, "seconds": self.seconds}
            (folder / _COUNTS).write_text(json.dumps(counts), encoding="utf-8")

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
                seconds=self.seconds,
            )
        )


def check_finite(loss: Any, step: int, reporter: Reporter, tokenizer: Any) -> None:
    """Stop a training whose loss is no number.

    Raises:
        DivergedError: naming the step and the batch.
    """
    if not torch.isfinite(loss):
        batch = reporter.first_tokens(tokenizer)
        raise DivergedError(
            f"the loss is {float(loss)} at step {step}, in a batch that begins {batch!r}; "
            "train into another --out with a lower --learning-rate, and look at such rows "
            f"({reporter.checkpoints} keeps what there was before)"
        )


class Trainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer that reports, stops at once where the loss is no number, and is fast on a CPU.

    TRL scores every position on a CPU, with entropies; of our rows a third is learnt.
    """

    def __init__(self, *args: Any, reporter: Reporter, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.add_callback(reporter)
        self._reporter = reporter
        base = getattr(self.model, "get_base_model", lambda: self.model)()
        scored = inspect.signature(type(base).forward).parameters
        # What else a loss may be made of is TRL's to add.
        plain = self.args.loss_type == "nll" and not self.args.label_smoothing_factor
        plain = plain and not self.aux_loss_enabled and self.compute_loss_func is None
        self._lean = plain and not torch.cuda.is_available() and "logits_to_keep" in scored
        self._evaluated = torch.zeros(2, dtype=torch.float64)

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
            self._reporter.batch = inputs["input_ids"][0, :SHOWN]
        if return_outputs or not self._lean:
            learnt = int((inputs["labels"][:, 1:] != IGNORED).sum())
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            if not self.model.training and not return_outputs:
                self._evaluated += torch.tensor([float(loss) * learnt, learnt])
            return loss
        total, learnt = learnt_loss(model, inputs)
        if not self.model.training:
            self._evaluated += torch.tensor([float(total), learnt])
        if num_items_in_batch is None:
            return total / max(learnt, 1)
        # Each process has its share of the batch, and gradients are averaged over processes.
        shared = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return total / num_items_in_batch * shared

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as Trainer does, with the loss in nats per learnt token of all batches.

        Trainer's own is the mean of the batches' means, in which a last pack of a few tokens
        weighs as much as a full one.
        """
        self._evaluated.zero_()
        found = super().evaluation_loop(*args, **kwargs)
        sums = self._evaluated.to(self.accelerator.device, torch.float32)[None]
        nats, learnt = self.accelerator.gather(sums).sum(dim=0).tolist()
        name = f"{kwargs.get('metric_key_prefix', 'eval')}_loss"
        if learnt and name in found.metrics:
            found.metrics[name] = nats / learnt
        return found

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().training_step(*args, **kwargs)
        check_finite(loss, self.state.global_step + 1, self._reporter, self.processing_class)
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
