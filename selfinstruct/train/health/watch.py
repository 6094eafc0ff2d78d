"""Measures a policy that learns from pairs: on held-out pairs, and by fresh samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import fmean
from typing import Any

from selfinstruct.train.health.fresh import FreshPrompts, fresh_samples
from selfinstruct.train.health.history import History
from selfinstruct.train.health.verdict import Point


class HealthWatch(History[Point]):
    """Keeps a history of held-out pairs and fresh samples, which survives a resume."""

    def __init__(
        self,
        trainer: Any,
        reference: Callable[[], AbstractContextManager[Any]],
        fresh: FreshPrompts,
        path: Path,
    ) -> None:
        super().__init__(trainer, path, Point)
        self._reference = reference
        self._fresh = fresh

    def on_evaluate(self, _args: Any, _state: Any, _control: Any, **kwargs: Any) -> None:
        self.look(kwargs.get("metrics") or {})

    def look(self, metrics: Mapping[str, Any] = {}) -> None:
        """Measure fresh samples, beside what the trainer measured on held-out pairs."""
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
        self.keep(
            Point(
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
        )
