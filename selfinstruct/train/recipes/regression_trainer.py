"""TRL's RewardTrainer with a squared error of scores in place of a loss of pairs.

Loading this file imports TRL, which takes seconds: so import this where the training begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import mse_loss
from trl import RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference
from trl.trainer.utils import pad

from selfinstruct.train.reporter import Reporting


@dataclass
class Collator(DataCollatorForPreference):  # type: ignore[misc]
    """Pads answers, and passes on their scores, less the mean and by the deviation of `scale`."""

    scale: tuple[float, float] = (0.0, 1.0)

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        mean, deviation = self.scale
        ids = [torch.tensor(example["chosen_ids"]) for example in examples]
        masks = [torch.ones_like(row) for row in ids]
        scores = [(example["score"] - mean) / deviation for example in examples]
        return {
            "input_ids": pad(ids, padding_value=self.pad_token_id, padding_side="right"),
            "attention_mask": pad(masks, padding_value=0, padding_side="right"),
            "score": torch.tensor(scores),
        }


class Trainer(Reporting, RewardTrainer):  # type: ignore[misc]
    """RewardTrainer that reports, and learns scores."""

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if "score" not in self._signature_columns:
            self._signature_columns.append("score")

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002  (transformers gives it)
    ) -> Any:
        """Return the mean of (reward − score)²."""
        scores = inputs.pop("score")
        outputs = model(**inputs, use_cache=False)
        loss = mse_loss(outputs.logits.squeeze(-1).float(), scores)
        return (loss, outputs) if return_outputs else loss
