"""What every trainer does besides training: report, count, and stop if the loss is not a number.

Loading this file imports transformers, which takes seconds, so import this where the training
begins.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import has_length

from selfinstruct.common import atomic
from selfinstruct.common.errors import DivergedError
from selfinstruct.common.memory import KeptMemory
from selfinstruct.train.checkpoints import COUNTS
from selfinstruct.train.watching import Listen, TrainProgress

# How the columns of token ids are named.
_IDS = "input_ids"
# Characters of a batch that an error shows.
_SHOWN_TOKENS, _SHOWN_CHARACTERS = 24, 80


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Passes on what the trainer logs; counts `tokens` and `seconds`, those before a resume too."""

    def __init__(self, listen: Listen, checkpoints: Path, checkpoint: Path | None = None) -> None:
        self._listen = listen
        self.checkpoints = checkpoints
        self._started = time.perf_counter()
        self.tokens, self._before = 0, 0.0
        self._predicted = 0
        self._memory = KeptMemory()
        if checkpoint is not None and (checkpoint / COUNTS).is_file():
            counts = json.loads((checkpoint / COUNTS).read_text(encoding="utf-8"))
            self.tokens, self._before = int(counts["tokens"]), float(counts["seconds"])

    @property
    def seconds(self) -> float:
        """Seconds of training, those before a resume included."""
        return self._before + time.perf_counter() - self._started

    def waits_for(self, what: str, done: int, total: int) -> None:
        """Report that the training waits for other work, with `done` of `total` parts finished."""
        self._listen(TrainProgress(done, total, 0.0, None, None, self.tokens, self.seconds, what))

    def has_scored(self) -> None:
        """Give back the memory of a batch that was scored: the next one has other sizes."""
        self._memory.release()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._memory.release()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self._memory.release()

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        """Keep the memory of a batch for the next one, but not of ever more sizes of batches."""
        self._memory.release_if_more()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._memory.release_if_more()

    def on_prediction_step(self, _args: Any, state: Any, _control: Any, **kwargs: Any) -> None:
        self.has_scored()
        loader = kwargs.get("eval_dataloader")
        if loader is None or not has_length(loader) or not state.is_world_process_zero:
            return
        self._predicted = self._predicted % len(loader) + 1
        self.waits_for("held-out rows", self._predicted, len(loader))

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            counts = {"tokens": self.tokens, "seconds": self.seconds}
            for path in (*folder.rglob("*"), folder, folder.parent):
                atomic.sync(path)
            atomic.write_json(folder / COUNTS, counts)

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
    """A trainer that reports, and stops at once if the loss is not a number.

    Name it before TRL's trainer among the bases of a class.
    """

    def __init__(self, *args: Any, reporter: Reporter, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.add_callback(reporter)
        self.reporter = reporter

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        self.reporter.has_scored()  # what the steps have freed is of other sizes
        return super().evaluate(*args, **kwargs)

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Train on a batch of any shape.

        Raises:
            DivergedError: the loss is not a number. Names the step and the batch.
        """
        self.reporter.tokens += batch_tokens(inputs) * self.accelerator.num_processes
        # Now, since a trainer may take columns out of the batch.
        beginning = _first_row(inputs)
        loss = super().training_step(model, inputs, *args, **kwargs)
        if not torch.isfinite(loss):
            raise DivergedError(
                f"the loss is {float(loss)} at step {self.state.global_step + 1}, in a batch that "
                f"begins {_text(beginning, self.processing_class)!r}; train into another --out "
                "with a lower --learning-rate, and look at such rows "
                f"({self.reporter.checkpoints} keeps what there was before)"
            )
        return loss


def batch_tokens(inputs: Any) -> int:
    """Return how many tokens a batch has, without padding where it has masks.

    Counts every column of token ids: `input_ids`, or `NAME_input_ids` with its
    `NAME_attention_mask`. A batch without such columns, as a list of prompts, has none.
    """
    if not isinstance(inputs, Mapping):
        return 0
    total = 0
    for name, ids in _token_ids(inputs):
        # Packs have no padding, and so no mask.
        mask = inputs.get(f"{name.removesuffix(_IDS)}attention_mask")
        total += int(ids.numel() if mask is None else mask.sum())
    return total


def _token_ids(inputs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for name, value in inputs.items()
        if name.endswith(_IDS) and isinstance(value, torch.Tensor)
    ]


def _first_row(inputs: Any) -> Any:
    """Return how a batch begins: the first token ids of a row, or the first row itself."""
    if not isinstance(inputs, Mapping):
        return next(iter(inputs), None)
    columns = _token_ids(inputs)
    if not columns:
        return None
    ids = columns[0][1]
    return (ids if ids.dim() < 2 else ids[0])[:_SHOWN_TOKENS]


def _text(beginning: Any, tokenizer: Any) -> str:
    if isinstance(beginning, torch.Tensor):
        return str(tokenizer.decode(beginning))
    return "" if beginning is None else str(beginning)[:_SHOWN_CHARACTERS]
