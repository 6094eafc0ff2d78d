"""TRL's KTOTrainer, which also reports, and takes rows as tokens.

Loading this file imports TRL, which takes seconds, so import this where the training begins.
"""

from __future__ import annotations

from typing import Any

from trl import KTOTrainer

from selfinstruct.train.reporter import Reporting


class Trainer(Reporting, KTOTrainer):  # type: ignore[misc]
    """KTOTrainer that reports, on rows in our own encoding."""

    def _prepare_dataset(self, dataset: Any, _processing_class: Any, args: Any, _name: str) -> Any:
        """Give each row the answer of another one of its batch, by which TRL estimates the KL term.

        TRL reads rows in their order, so that batches stay as they are here.
        """
        return dataset.map(
            _with_other_answers, batched=True, batch_size=args.per_device_train_batch_size
        )


def _with_other_answers(rows: dict[str, Any]) -> dict[str, Any]:
    answers = rows["completion_ids"]
    return {**rows, "KL_completion_ids": [answers[-1], *answers[:-1]]}
