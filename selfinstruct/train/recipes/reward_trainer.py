"""TRL's RewardTrainer, which also reports its progress and weighs pairs.

Loading this file imports TRL, which takes seconds: so import this where the training begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import logsigmoid
from trl import RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from selfinstruct.train.reporter import Reporting


@dataclass
class Collator(DataCollatorForPreference):  # type: ignore[misc]
    """TRL's collator, which also passes on the weights of the pairs."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        batch["weight"] = torch.tensor([example["weight"] for example in examples])
        return batch


class Trainer(Reporting, RewardTrainer):  # type: ignore[misc]
    """RewardTrainer that reports, and weighs its pairs."""

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
        weights = inputs.pop("weight")
        _, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        chosen, rejected = outputs.logits.squeeze(-1).float().chunk(2)
        loss = -(weights * logsigmoid(chosen - rejected)).mean()
        if self.args.center_rewards_coefficient is not None:
            loss += self.args.center_rewards_coefficient * ((chosen + rejected) ** 2).mean()
        return (loss, outputs) if return_outputs else loss
