"""Looks at a DPO training before its first step and at each evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from selfinstruct.common import atomic
from selfinstruct.common.errors import TrainError
from selfinstruct.train.fresh import fresh_samples
from selfinstruct.train.health import Point

if TYPE_CHECKING:
    from selfinstruct.train.dpo import DpoSettings


class HealthWatch(TrainerCallback):  # type: ignore[misc]
    """Keeps a history of held-out pairs and fresh samples; it survives a resumed training."""

    def __init__(
        self,
        trainer: Any,
        reference: Any,
        prompts: Sequence[Sequence[int]],
        settings: DpoSettings,
        path: Path,
    ) -> None:
        self._trainer = trainer
        self._reference = reference
        self._prompts = prompts
        self._settings = settings
        self._path = path
        self.history: list[Point] = []
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
            self.history = [Point(**_nan(row)) for row in known]

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Look at the policy before its first step, unless that was done.

        No sooner: a model that is evaluated before `Trainer.train` has made it ready counts as
        ready, and several processes would then train each a model of its own.
        """
        if self.history:
            return
        if self._trainer.state.global_step:
            raise TrainError(
                f"{self._path}: is gone, and with it how the policy was before its first step; "
                "train into another --out"
            )
        if self._trainer.eval_dataset is not None:
            self._trainer.evaluate()  # which calls `on_evaluate`
        else:
            self._add({})

    def on_evaluate(self, _args: Any, _state: Any, _control: Any, **kwargs: Any) -> None:
        self._add(kwargs.get("metrics") or {})

    def finished(self) -> list[Point]:
        """Return the history, whose last point is of the policy that is saved."""
        state, config = self._trainer.state, self._trainer.args
        if config.load_best_model_at_end and state.best_model_checkpoint:
            best = int(str(state.best_model_checkpoint).rpartition("-")[2])
            return [point for point in self.history if point.step <= best]
        if self.history[-1].step < state.global_step:
            self._add({})
        return list(self.history)

    def _add(self, metrics: dict[str, Any]) -> None:
        state = self._trainer.state
        self._trainer.reporter.waits_for("fresh answers", 0, 1)
        fresh = fresh_samples(
            self._trainer.model,
            self._reference,
            self._trainer.processing_class,
            self._prompts,
            max_tokens=self._settings.fresh_tokens,
            seed=self._settings.seed,
        )
        accuracy = metrics.get("eval_rewards/accuracies", math.nan)
        if metrics.get("eval_rewards/margins") == 0:
            accuracy = 0.5  # a policy that is its reference: TRL counts ties as lost
        point = Point(
            step=state.global_step,
            epoch=float(state.epoch or 0.0),
            loss=metrics.get("eval_loss", math.nan),
            accuracy=accuracy,
            margin=metrics.get("eval_rewards/margins", math.nan),
            chosen=metrics.get("eval_logps/chosen", math.nan),
            rejected=metrics.get("eval_logps/rejected", math.nan),
            divergence=fmean(one.divergence for one in fresh),
            tokens=fmean(one.tokens for one in fresh),
            endless=fmean(not one.ended for one in fresh),
        )
        # A resumed training looks again where it goes on from.
        self.history = [one for one in self.history if one.step < point.step] + [point]
        if self._trainer.accelerator.is_main_process:
            rows = [
                {k: None if math.isnan(v) else v for k, v in asdict(one).items()}
                for one in self.history
            ]
            atomic.write_json(self._path, rows)


def _nan(row: dict[str, Any]) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in row.items()}
