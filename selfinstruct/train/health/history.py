"""Measures a policy before its first step and at each evaluation, and keeps what it measured."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from transformers import TrainerCallback

from selfinstruct.common import atomic
from selfinstruct.common.errors import TrainError
from selfinstruct.train.health.nulls import with_nan, with_null


class Moment(Protocol):
    """A moment of a training: a record that has at least its step."""

    @property
    def step(self) -> int: ...


PointT = TypeVar("PointT", bound=Moment)


class History(TrainerCallback, Generic[PointT]):  # type: ignore[misc]
    """Keeps points of a training in a file, so that they survive a resume.

    Args:
        trainer: the trainer that it listens to.
        path: of the file.
        point: the class of a point.
    """

    def __init__(self, trainer: Any, path: Path, point: type[PointT]) -> None:
        self._trainer = trainer
        self._path = path
        self.history: list[PointT] = []
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
            self.history = [point(**with_nan(row)) for row in known]

    @abstractmethod
    def look(self) -> None:
        """Measure the policy as it is, and `keep` a point."""

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
            self._trainer.evaluate()  # which looks
        else:
            self.look()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Measure the last policy, if it is the one to save and was not measured yet."""
        last_seen = self.history[-1].step
        if self.saved_step() is None and last_seen < self._trainer.state.global_step:
            self.look()

    def until_saved(self) -> list[PointT]:
        """Return the history up to the policy that is saved."""
        best = self.saved_step()
        return [point for point in self.history if best is None or point.step <= best]

    def keep(self, point: PointT) -> None:
        """Add a point. A resumed training measures the steps after its checkpoint again."""
        self.history = [known for known in self.history if known.step < point.step] + [point]
        if self._trainer.accelerator.is_main_process:
            rows: list[Any] = list(self.history)
            atomic.write_json(self._path, [with_null(asdict(known)) for known in rows])

    def saved_step(self) -> int | None:
        """Return the step of the best checkpoint, if the trainer loads that at the end."""
        state = self._trainer.state
        if not (self._trainer.args.load_best_model_at_end and state.best_model_checkpoint):
            return None
        return int(str(state.best_model_checkpoint).rpartition("-")[2])
