"""Measures a student against its teacher, on the teacher's answers and on its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from selfinstruct.common import atomic
from selfinstruct.train.data.lessons import Lesson
from selfinstruct.train.health.distill_verdict import DistillPoint, Taught
from selfinstruct.train.health.fresh import SCORED, mean_logprobs, next_words, sampled_answers
from selfinstruct.train.health.history import History


@dataclass(frozen=True)
class Watched:
    """What is watched: held-out prompts, the most tokens of an answer, and the seed of samples.

    `kl` is the divergence that is minimised: `forward` or `reverse`.
    """

    rows: Sequence[Lesson]
    max_tokens: int
    seed: int
    kl: str


class DistillWatch(History[DistillPoint]):
    """Keeps a history of how near the student is, and the teacher's answers; both in a folder."""

    def __init__(self, trainer: Any, watched: Watched, folder: Path) -> None:
        super().__init__(trainer, folder / "history.json", DistillPoint)
        self._watched = watched
        self._answers = folder / "teacher.json"
        self.taught: list[Taught] = []
        if self._answers.is_file():  # a resumed training is measured on the same answers
            known = json.loads(self._answers.read_text(encoding="utf-8"))
            self.taught = [Taught(**row) for row in known]

    def look(self) -> None:
        trainer, rows = self._trainer, self._watched.rows
        trainer.reporter.waits_for("the student against its teacher", 0, 1)
        student = trainer.model
        was_training = student.training
        student.eval()
        try:
            with torch.no_grad():
                self._know_teacher()
                fresh = self._sampled(student, [row.ids for row in rows])
                likelihoods = mean_logprobs(student, self._pairs())
                forwards = self._divergences([one.ids for one in self.taught], by_teacher=True)
                reverses = self._divergences(fresh, by_teacher=False)
        finally:
            student.train(was_training)
        end = trainer.processing_class.eos_token_id
        state = trainer.state
        self.keep(
            DistillPoint(
                step=state.global_step,
                epoch=float(state.epoch or 0.0),
                likelihoods=likelihoods,
                forwards=forwards,
                reverses=reverses,
                tokens=fmean(len(answer) for answer in fresh),
                endless=fmean(answer[-1] != end for answer in fresh),
            )
        )

    def metrics(self) -> dict[str, float]:
        """Return the last point as the trainer logs it; the loss is the chosen divergence."""
        point = self.history[-1]
        return {
            "eval_loss": point.forward if self._watched.kl == "forward" else point.reverse,
            "eval_forward_kl": point.forward,
            "eval_reverse_kl": point.reverse,
            "eval_likelihood": point.likelihood,
            "eval_tokens": point.tokens,
            "eval_endless": point.endless,
        }

    def _know_teacher(self) -> None:
        """Have the teacher answer, once."""
        if self.taught:
            return
        teacher = self._trainer.teacher_model
        answers = self._sampled(teacher, [row.teacher_ids for row in self._watched.rows])
        pairs = [
            (row.teacher_ids, ids) for row, ids in zip(self._watched.rows, answers, strict=True)
        ]
        end = self._trainer.processing_class.eos_token_id
        self.taught = [
            Taught(ids, ids[-1] == end, likelihood)
            for ids, likelihood in zip(answers, mean_logprobs(teacher, pairs), strict=True)
        ]
        if self._trainer.accelerator.is_main_process:
            atomic.write_json(self._answers, [asdict(one) for one in self.taught])

    def _sampled(self, network: Any, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        watched, tokenizer = self._watched, self._trainer.processing_class
        return sampled_answers(network, tokenizer, prompts, watched.max_tokens, watched.seed)

    def _pairs(self) -> list[tuple[list[int], list[int]]]:
        return [
            (row.ids, one.ids) for row, one in zip(self._watched.rows, self.taught, strict=True)
        ]

    def _divergences(self, answers: Sequence[list[int]], *, by_teacher: bool) -> list[float]:
        """Return the divergence of the next word of each answer, averaged over its tokens.

        Args:
            answers: token ids, by prompt.
            by_teacher: KL(teacher ‖ student); otherwise KL(student ‖ teacher).
        """
        student, teacher = self._trainer.model, self._trainer.teacher_model
        rows = self._watched.rows
        found = [0.0] * len(rows)
        # Ordered by length: batches of one length need no padding.
        order = sorted(range(len(rows)), key=lambda n: len(rows[n].ids) + len(answers[n]))
        for start in range(0, len(order), SCORED):
            part = order[start : start + SCORED]
            ours = next_words(student, [(rows[n].ids, answers[n]) for n in part])
            theirs = next_words(teacher, [(rows[n].teacher_ids, answers[n]) for n in part])
            for place, own, their in zip(part, ours, theirs, strict=True):
                first, second = (their, own) if by_teacher else (own, their)
                found[place] = float((first.exp() * (first - second)).sum()) / len(own)
        return found
