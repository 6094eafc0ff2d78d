"""The record of a judgement: what a judge says of a task and its output."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Judgement:
    """A row of judgements.parquet.

    Attributes:
        id: of the judgement.
        instance_id: the instance that is judged.
        instruction_id: its instruction.
        round: of the instruction.
        score: the share of `yes`, or the number from 1 to 5; NaN if a reply cannot be read.
        answers: what was read in each reply: `yes`, `no`, a digit, or nothing.
        reasons: the rest of each reply.
    """

    id: str
    instance_id: str
    instruction_id: str
    round: int
    score: float
    answers: tuple[str, ...]
    reasons: tuple[str, ...]
