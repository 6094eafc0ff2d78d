"""Which answer stands for an instance: a teacher's, or the model's own by votes or rationales."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.records import ACCEPTED
from selfinstruct.filters.outcomes import LOW_AGREEMENT
from selfinstruct.store import Run
from selfinstruct.store.commits import ANSWERS
from selfinstruct.verdicts.own_answers import Method, method_of


class Answers(StrEnum):
    """Whose outputs: the run's own, those of `selfinstruct answer`, or both.

    `teacher` are all accepted answers, whoever wrote them and however they were chosen; `votes` are
    only those of `answer --votes`, `rationales` only those of `answer --rationale` without votes.
    `prefer-teacher` takes an answer if there is an accepted one, else the run's own output.
    `revision` and `prefer-revision` do the same with revised outputs (`selfinstruct revise`).
    """

    OWN = "own"
    TEACHER = "teacher"
    PREFER_TEACHER = "prefer-teacher"
    VOTES = "votes"
    RATIONALES = "rationales"
    REVISION = "revision"
    PREFER_REVISION = "prefer-revision"

    @property
    def are_revised(self) -> bool:
        """Whether revisions stand for outputs."""
        return self in (Answers.REVISION, Answers.PREFER_REVISION)

    @property
    def are_teachers(self) -> bool:
        """Whether answers of `selfinstruct answer` stand for outputs."""
        return self is not Answers.OWN and not self.are_revised

    @property
    def with_own(self) -> bool:
        """Whether the run's own output stands where there is no other."""
        return self in (Answers.OWN, Answers.PREFER_TEACHER, Answers.PREFER_REVISION)


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """More about which answers are taken, and how.

    Attributes:
        min_agreement: least agreement of an answer by votes, instead of the one that it was judged
            by; None: its verdict counts.
        without_rationale: take the final answer alone.
    """

    min_agreement: float | None = None
    without_rationale: bool = False


NO_LIMITS = AnswerLimits()


def best_answers(
    run: Run, answers: Answers = Answers.TEACHER, limits: AnswerLimits = NO_LIMITS
) -> dict[str, AnswerCandidate]:
    """Return the newest accepted answer to each instance, by the instance's id.

    Raises:
        StoreError: a file is not what was committed.
    """
    if not answers.are_teachers:
        return {}
    ANSWERS.verify(run)
    best: dict[str, AnswerCandidate] = {}
    for number in ANSWERS.numbers(run):
        if not _is_of(answers, method_of(ANSWERS.info(run, number))):
            continue
        for row in ANSWERS.read_answers(run, number):
            if row.answer_to is not None and is_taken(row, limits.min_agreement):
                best[row.answer_to] = _without_rationale(row) if limits.without_rationale else row
    return best


def is_taken(row: AnswerCandidate, min_agreement: float | None) -> bool:
    """Whether an answer is accepted, by its verdict or by another least agreement."""
    if min_agreement is None or row.agreement is None:
        return row.verdict == ACCEPTED
    # Rejected for its agreement, it has passed every other check.
    passed = row.verdict == ACCEPTED or row.reason == LOW_AGREEMENT.reason
    return passed and row.agreement >= min_agreement


def _is_of(answers: Answers, method: Method | None) -> bool:
    if answers is Answers.VOTES:
        return method is not None and method.votes > 1
    if answers is Answers.RATIONALES:
        return method is not None and method.votes == 1
    return True


def _without_rationale(row: AnswerCandidate) -> AnswerCandidate:
    return row if row.final_answer is None else replace(row, output=row.final_answer)
