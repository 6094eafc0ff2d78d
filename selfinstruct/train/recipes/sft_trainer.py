"""TRL's SFTTrainer, which also reports its progress and computes a lean loss.

Loading this file imports TRL, which takes seconds, so import this where the training begins.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from trl import SFTTrainer

from selfinstruct.train.data.encode import IGNORED
from selfinstruct.train.reporter import Reporting


class Trainer(Reporting, SFTTrainer):  # type: ignore[misc]
    """SFTTrainer that reports, and is fast on a CPU.

    On a CPU TRL scores every position, and computes entropies. Only a third of the positions of
    our rows is learnt.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        base = getattr(self.model, "get_base_model", lambda: self.model)()
        scored = inspect.signature(type(base).forward).parameters
        # TRL computes any other loss.
        plain = self.args.loss_type == "nll" and not self.args.label_smoothing_factor
        plain = plain and not self.aux_loss_enabled and self.compute_loss_func is None
        on_cpu = self.args.device.type == "cpu"
        self._lean = plain and on_cpu and "logits_to_keep" in scored
        self._evaluated = torch.zeros(2, dtype=torch.float64)

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
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
        """Evaluate as Trainer does, but give the loss in nats per learnt token of all batches.

        Trainer averages the means of the batches, so a last pack of a few tokens would weigh as
        much as a full one.
        """
        self._evaluated.zero_()
        output = super().evaluation_loop(*args, **kwargs)
        sums = self._evaluated.to(self.accelerator.device, torch.float32)[None]
        nats, learnt = self.accelerator.gather(sums).sum(dim=0).tolist()
        name = f"{kwargs.get('metric_key_prefix', 'eval')}_loss"
        if learnt and name in output.metrics:
            output.metrics[name] = nats / learnt
        return output


def learnt_loss(model: Any, inputs: Any) -> tuple[Any, int]:
    """Return the summed cross entropy of the learnt tokens in nats, and their number.

    Computes logits only where a learnt token follows in some row. With a vocabulary of 262,144
    words the logits are the most expensive part of a step.

    Args:
        model: a causal language model whose forward takes `logits_to_keep`.
        inputs: `input_ids` and `labels`, (rows, tokens), and `position_ids` or
            `attention_mask` of the same shape.
    """
    arguments = {name: value for name, value in inputs.items() if name != "labels"}
    following = inputs["labels"][:, 1:]
    keep = (following != IGNORED).any(dim=0).nonzero().squeeze(1)
    targets = following[:, keep].reshape(-1)
    # Without this, transformers does not keep packed rows apart.
    arguments["use_cache"] = False
    logits = model(**arguments, logits_to_keep=keep).logits
    flat = logits.reshape(-1, logits.shape[-1]).float()
    total = cross_entropy(flat, targets, ignore_index=IGNORED, reduction="sum")
    return total, int((targets != IGNORED).sum())
