"""Measures a policy before its first step and at each evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import TrainerCallback

from selfinstruct.common import atomic
from selfinstruct.common.errors import TrainError
from selfinstruct.train.health.fresh import FreshPrompts, fresh_samples
from selfinstruct.train.health.verdict import Point


class HealthWatch(TrainerCallback):  # type: ignore[misc]
    """Keeps a history of held-out pairs and fresh samples, which survives a resume."""

    def __init__(
        self,
        trainer: Any,
        reference: Callable[[], AbstractContextManager[Any]],
        fresh: FreshPrompts,
        path: Path,
    ) -> None:
        self._trainer = trainer
        self._reference = reference
        self._fresh = fresh
        self._path = path
        self.history: list[Point] = []
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
            self.history = [Point(**_with_nan(row)) for row in known]

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Measure the policy before its first step, unless that was done.

        It cannot be done earlier: accelerate takes a model that is evaluated before
        `Trainer.train` as ready, and never wraps it. Several processes would then each train
        their own model.
        """
        if self.history:
            return
        if self._trainer.state.global_step:
            raise TrainError(
                f"{self._path}: is gone, and with it the measures from before the first step; "
                "train into another --out"
            )
        if self._trainer.eval_dataset is not None:
            self._trainer.evaluate()  # which calls `on_evaluate`
        else:
            self._look({})

    def on_evaluate(self, _args: Any, _state: Any, _control: Any, **kwargs: Any) -> None:
        self._look(kwargs.get("metrics") or {})

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Measure the last policy, if it is the one to save and was not measured yet."""
        last_seen = self.history[-1].step
        if self._best_step() is None and last_seen < self._trainer.state.global_step:
            self._look({})

    def until_saved(self) -> list[Point]:
        """Return the history up to the policy that is saved."""
        best = self._best_step()
        return [point for point in self.history if best is None or point.step <= best]

    def _best_step(self) -> int | None:
        """Return the step of the best checkpoint, if the trainer loads that at the end."""
        state = self._trainer.state
        if not (self._trainer.args.load_best_model_at_end and state.best_model_checkpoint):
            return None
        return int(str(state.best_model_checkpoint).rpartition("-")[2])

    def _look(self, metrics: dict[str, Any]) -> None:
        state = self._trainer.state
        self._trainer.reporter.waits_for("fresh answers", 0, 1)
        samples = fresh_samples(
            self._trainer.model,
            self._reference,
            self._trainer.processing_class,
            self._fresh.prompts,
            max_tokens=self._fresh.max_tokens,
            seed=self._fresh.seed,
        )
        accuracy = metrics.get("eval_rewards/accuracies", math.nan)
        if metrics.get("eval_rewards/margins") == 0:
            accuracy = 0.5  # the policy equals its reference, and TRL counts ties as lost
        point = Point(
            step=state.global_step,
            epoch=float(state.epoch or 0.0),
            loss=metrics.get("eval_loss", math.nan),
            accuracy=accuracy,
            margin=metrics.get("eval_rewards/margins", math.nan),
            chosen=metrics.get("eval_logps/chosen", math.nan),
            rejected=metrics.get("eval_logps/rejected", math.nan),
            divergence=fmean(sample.divergence for sample in samples),
            tokens=fmean(sample.tokens for sample in samples),
            endless=fmean(not sample.ended for sample in samples),
        )
        # A resumed training measures the steps after its checkpoint again.
        self.history = [known for known in self.history if known.step < point.step] + [point]
        if self._trainer.accelerator.is_main_process:
            atomic.write_json(self._path, [_with_null(asdict(known)) for known in self.history])


def _with_null(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if math.isnan(value) else value for key, value in row.items()}


def _with_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in row.items()}
