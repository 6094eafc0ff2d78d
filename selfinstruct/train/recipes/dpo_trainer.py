"""TRL's DPOTrainer, which also reports, takes rows as tokens, and keeps the reference's scores.

Loading this file imports TRL, which takes seconds, so import this where the training begins.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch.utils.data import DataLoader
from trl import DPOTrainer

from selfinstruct.common import atomic
from selfinstruct.train.data.encode import IGNORED
from selfinstruct.train.health.verdict import HeldOutPair
from selfinstruct.train.health.watch import HealthWatch
from selfinstruct.train.reporter import Reporting

_REFERENCE = ("ref_chosen_logps", "ref_rejected_logps")


class Trainer(Reporting, DPOTrainer):  # type: ignore[misc]
    """DPOTrainer that reports, and keeps the reference's log-probabilities.

    They are computed once, before the training, and lie beside the checkpoints. A resumed
    training reads them from there.
    """

    watch: HealthWatch  # which the recipe adds

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scored = 0

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # tokens already, in our own encoding

    def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # `compute_reference` does it, once the folder is open

    def compute_reference(self) -> None:
        """Give both data sets the log-probabilities of the reference model, in nats."""
        size = self.args.precompute_ref_batch_size or self.args.per_device_eval_batch_size
        self.train_dataset: Any = self._with_reference(self.train_dataset, "train", size)
        if self.eval_dataset is not None:
            held_out = self._with_reference(self.eval_dataset, "held-out", size)
            batch = self.args.per_device_eval_batch_size * self.accelerator.num_processes
            self.eval_dataset: Any = held_out.select(_by_length(held_out, batch))

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
        logprobs = super().compute_ref_log_probs(model, inputs)
        self.reporter.has_scored()
        self._scored += len(inputs["input_ids"]) // 2
        rows = len(self.train_dataset) + len(self.eval_dataset or ())
        self.reporter.waits_for("the reference model", min(self._scored, rows), rows)
        return logprobs

    def _with_reference(self, dataset: Any, name: str, size: int) -> Any:
        path = self.reporter.checkpoints / f"reference-{name}.json"
        if path.is_file():
            known = json.loads(path.read_text(encoding="utf-8"))
        else:
            order = _by_length(dataset, size * self.accelerator.num_processes)
            scored = self._reference_scores(dataset.select(order), size)
            known = {column: [0.0] * len(order) for column in _REFERENCE}
            for place, row in zip(order, scored, strict=True):
                for column, value in zip(_REFERENCE, row, strict=True):
                    known[column][place] = value
            if self.accelerator.is_main_process:
                atomic.write_json(path, known)
        for column in _REFERENCE:
            dataset = dataset.add_column(column, known[column])
        return dataset

    def _reference_scores(self, dataset: Any, size: int) -> list[tuple[float, float]]:
        """Return the reference's log-probabilities of (chosen, rejected), in the rows' order.

        TRL passes them through a file. For rows in memory each process would name another one.
        """
        loader = DataLoader(dataset, batch_size=size, collate_fn=self.data_collator)
        rows: list[tuple[float, float]] = []
        for batch in self.accelerator.prepare(loader):
            logprobs = self.compute_ref_log_probs(self.ref_model or self.model, batch)
            chosen, rejected = self.accelerator.gather_for_metrics(logprobs)
            rows += zip(chosen.tolist(), rejected.tolist(), strict=True)
        return rows

    def held_out_pairs(self) -> list[HeldOutPair]:
        """Return every held-out pair as the policy and the reference score it."""
        pairs: list[HeldOutPair] = []
        self.reporter.has_scored()
        self.model.eval()
        for batch in self.get_eval_dataloader():
            inputs = self._prepare_inputs(batch)
            mask = inputs["completion_mask"]
            labels = inputs["input_ids"].masked_fill(mask == 0, IGNORED)
            with torch.no_grad(), self.compute_loss_context_manager():
                scored = self.model(
                    input_ids=inputs["input_ids"],
                    attention_mask=inputs["attention_mask"],
                    use_cache=False,
                    labels=labels,
                    fused_lm_head=True,
                ).log_probs
            chosen, rejected = scored.float().sum(dim=1).chunk(2)
            tokens = mask[:, 1:].sum(dim=1).chunk(2)
            columns = (chosen, rejected, *(inputs[name] for name in _REFERENCE), *tokens)
            gathered = self.accelerator.gather_for_metrics(columns)
            rows = zip(*(column.tolist() for column in gathered), strict=True)
            pairs += [HeldOutPair(*row) for row in rows]
            self.reporter.has_scored()
        return pairs


def _by_length(pairs: Any, batch: int) -> list[int]:
    """Return the places of pairs, the longest first: then batches need little padding.

    The C library reuses what a larger batch has freed for a smaller one, and not the other way
    round: with the shortest first the process grew to twice as much.

    A last batch that is not full gets pairs of medium length. TRL's metrics are means over
    batches, in which its rows weigh more than others.
    """
    columns = (pairs[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    lengths = [len(p) + max(len(c), len(r)) for p, c, r in zip(*columns, strict=True)]
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    rest = len(order) % batch
    start = (len(order) - rest) // 2
    return [*order[:start], *order[start + rest :], *order[start : start + rest]]
