"""TRL's DistillationTrainer, whose teacher may read another prompt than the student.

Loading this file imports TRL, which takes seconds, so import this where the training begins.
"""

from __future__ import annotations

from typing import Any

import torch
from trl import DistillationTrainer
from trl.trainer.utils import pad

from selfinstruct.train.recipes.answering import Answering


class Trainer(Answering, DistillationTrainer):  # type: ignore[misc]
    """DistillationTrainer that reports, on rows in our own encoding.

    The answers that both models are compared on are the student's own, as in TRL, or the
    teacher's (`from_teacher`): forward KL is an expectation over the teacher's answers. TRL's
    divergence of the next word is used as it is.
    """

    model_wrapped: Any

    def __init__(self, *args: Any, from_teacher: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._from_teacher = from_teacher
        self._taught: list[list[int]] = []
        self._shown: tuple[torch.Tensor, torch.Tensor] | None = None

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        """Sample answers as TRL does, and add what the teacher reads before each of them."""
        self._taught = [row["teacher_ids"] for row in inputs]
        scored = super()._generate_and_score_completions(inputs)
        ids = [torch.tensor(row) for row in self._taught]
        masks = [torch.ones_like(row) for row in ids]
        device = self.accelerator.device
        # Padding stands before the prompts, so that all answers begin at one place.
        for name, rows, value in (
            ("teacher_ids", ids, self.processing_class.pad_token_id),
            ("teacher_mask", masks, 0),
        ):
            scored[name] = pad(rows, padding_value=value, padding_side="left").to(device)
        return scored

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._from_teacher:
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)
        student = self.model_wrapped
        self.model_wrapped = self.teacher_model
        try:
            return super()._generate_single_turn(self._taught, *args, **kwargs)
        finally:
            self.model_wrapped = student

    def _compute_loss(self, unwrapped_student: Any, inputs: Any, num_items_in_batch: Any) -> Any:
        self._shown = inputs["teacher_ids"], inputs["teacher_mask"]
        return super()._compute_loss(unwrapped_student, inputs, num_items_in_batch)

    def _get_last_hidden_state(
        self,
        unwrapped_model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: int,
        **kwargs: Any,
    ) -> Any:
        """Return what TRL computes the logits of the answers from.

        Args:
            unwrapped_model: the student or the teacher.
            input_ids: (rows, tokens) of prompt and answer; the teacher gets its own prompts.
            attention_mask: of them.
            logits_to_keep: the tokens of the answers, which stand at the end.
            kwargs: of images; there are none.

        Returns:
            (rows, tokens of the answers, hidden size).
        """
        if unwrapped_model is self.accelerator.unwrap_model(self.teacher_model):
            assert self._shown is not None
            ids, mask = self._shown
            input_ids = torch.cat([ids, input_ids[:, -logits_to_keep:]], dim=1)
            attention_mask = torch.cat([mask, attention_mask[:, -logits_to_keep:]], dim=1)
        return super()._get_last_hidden_state(
            unwrapped_model, input_ids, attention_mask, logits_to_keep, **kwargs
        )
