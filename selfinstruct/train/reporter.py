"""What TRL's trainers do here besides training: report, count, stop where the loss is no number.

Imports transformers as it is loaded, which takes seconds: import it where training begins.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from selfinstruct.common.errors import DivergedError
from selfinstruct.train.progress import Listen, TrainProgress

# In a checkpoint: what was counted until then.
_COUNTS = "counts.json"
_SHOWN = 24  # tokens of a batch, in an error


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


class Reporting(Trainer):  # type: ignore[misc]
    """A trainer that reports, and stops at once where the loss is no number.

    Written before TRL's trainer among the bases of a class.
    """

    def __init__(self, *args: Any, reporter: Reporter, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.add_callback(reporter)
        self.reporter = reporter

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Train on a batch.

        Raises:
            DivergedError: the loss is no number; the step and the batch are named.
        """
        # Packs have no padding; rows that are not packed have a mask.
        mask = inputs.get("attention_mask")
        counted = inputs["input_ids"].numel() if mask is None else mask.sum()
        self.reporter.tokens += int(counted) * self.accelerator.num_processes
        self.reporter.batch = inputs["input_ids"][0, :_SHOWN]
        loss = super().training_step(model, inputs, *args, **kwargs)
        if not torch.isfinite(loss):
            batch = self.reporter.first_tokens(self.processing_class)
            raise DivergedError(
                f"the loss is {float(loss)} at step {self.state.global_step + 1}, in a batch that "
                f"begins {batch!r}; train into another --out with a lower --learning-rate, and "
                f"look at such rows ({self.reporter.checkpoints} keeps what there was before)"
            )
        return loss
