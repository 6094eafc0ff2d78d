"""The record of an answer that was written later: a teacher's, or the model's own."""

from __future__ import annotations

from dataclasses import dataclass

from selfinstruct.common.records import InstanceCandidate


@dataclass(frozen=True, slots=True)
class AnswerCandidate(InstanceCandidate):
    """A row of instances.parquet in a commit of answers: an instance, and how it was chosen.

    All further fields are None for an answer that was asked for once, without a rationale.

    Attributes:
        final_answer: the answer after its rationale, or the whole of a short one, as written; None
            where none can be read.
        agreement: the share of the votes that this final answer has, in [0, 1].
        votes: how many completions voted.
        hinted: whether the prompt gave the known answer as a hint.
    """

    final_answer: str | None = None
    agreement: float | None = None
    votes: int | None = None
    hinted: bool | None = None
