"""TRL's RewardTrainer, with our progress, and pairs that count for more or less.

Imports TRL as it is loaded, which takes seconds: import it where training begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from transformers.trainer_callback import PrinterCallback
from trl import RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from selfinstruct.train.trainer import SHOWN, Reporter, check_finite


@dataclass
class Collator(DataCollatorForPreference):  # type: ignore[misc]
    """TRL's, with the weights of the pairs."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        batch["weight"] = torch.tensor([one["weight"] for one in examples])
        return batch


class Trainer(RewardTrainer):  # type: ignore[misc]
    """RewardTrainer that reports, weighs its pairs, and stops where the loss is no number."""

    def __init__(self, *args: Any, reporter: Reporter, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.add_callback(reporter)
        self._reporter = reporter

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if "weight" not in self._signature_columns:
            self._signature_columns.append("weight")

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the mean of weight · −log sigmoid(chosen − rejected), weights of mean one."""
        if self.model.training:
            counted = int(inputs["attention_mask"].sum()) * self.accelerator.num_processes
            self._reporter.tokens += counted
            self._reporter.batch = inputs["input_ids"][0, :SHOWN]
        weights = inputs.pop("weight")
        _, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        chosen, rejected = outputs.logits.squeeze(-1).float().chunk(2)
        loss = -(weights * logsigmoid(chosen - rejected)).mean()
        if self.args.center_rewards_coefficient is not None:
            loss += self.args.center_rewards_coefficient * ((chosen + rejected) ** 2).mean()
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().training_step(*args, **kwargs)
        check_finite(loss, self.state.global_step + 1, self._reporter, self.processing_class)
        return loss
