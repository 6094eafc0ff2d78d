"""Verdicts on a model's own answers to closed tasks: by votes, or by the known answer.

Votes (self-consistency; Wang et al. 2022, arXiv:2203.11171; Huang et al. 2022, arXiv:2210.11610):
of K sampled completions, the most frequent final answer counts. The share of the completions that
have it is the *agreement*.

The known answer (STaR; Zelikman et al. 2022, arXiv:2203.14465): a rationale is kept if its final
answer is the task's known one. If it is not, the model is asked again with that answer as a hint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.errors import StoreError
from selfinstruct.common.records import ACCEPTED, Completion, InstanceCandidate
from selfinstruct.filters.final_answers import FINAL_ANSWERS_VERSION, FinalAnswer, final_answer
from selfinstruct.filters.outcomes import LOW_AGREEMENT, NO_FINAL_ANSWER, NO_MATCH
from selfinstruct.filters.rule import Failure
from selfinstruct.verdicts.candidates import with_failure
from selfinstruct.verdicts.later import verdict_on_answer
from selfinstruct.verdicts.rulebook import Rulebook

KEY = "method"
"""The key in answers.json under which a commit keeps its method."""

_CUT_OFF = "length"


@dataclass(frozen=True, slots=True)
class Method:
    """How a commit of answers was chosen.

    Attributes:
        votes: sampled completions of each task; 1: no vote.
        rationale: whether a rationale stands before the final answer.
        keep_if_match: accept a rationale only if it reaches the known answer.
        min_agreement: least share of the votes, in [0, 1].
        marker: stands before a final answer.
        version: of the code that reads final answers.
    """

    votes: int = 1
    rationale: bool = False
    keep_if_match: bool = False
    min_agreement: float = 0.0
    marker: str = "Answer:"
    version: int = FINAL_ANSWERS_VERSION

    def stored(self) -> dict[str, Any]:
        """Return it as answers.json has it."""
        return asdict(self)

    def asks_as(self, stored: Mapping[str, Any] | None) -> bool:
        """Whether a stored method asks the same; a threshold changes nothing that is asked."""
        judged = ("min_agreement", "version")
        own = {key: value for key, value in self.stored().items() if key not in judged}
        return stored is not None and own == {k: v for k, v in stored.items() if k not in judged}


def method_of(info: Mapping[str, Any]) -> Method | None:
    """Return the method of a commit by its answers.json; None: each task was answered once.

    Raises:
        StoreError: it is none that this program knows.
    """
    stored = info.get(KEY)
    if stored is None:
        return None
    try:
        return Method(**stored)
    except TypeError as error:
        raise StoreError(
            f"answers.json: unknown method {stored!r}; upgrade selfinstruct, or restore the commit"
        ) from error


def final_of(completion: Completion, method: Method) -> FinalAnswer | None:
    """Return the final answer of a completion; None if it failed, was cut off, or has none."""
    if completion.error is not None or completion.finish_reason == _CUT_OFF:
        return None
    return final_answer(
        completion.text, method.marker, method.version, needs_marker=method.rationale
    )


def matches(completion: Completion, known: str, method: Method) -> bool:
    """Whether a completion reaches the known output of its task."""
    final = final_of(completion, method)
    wanted = final_answer(known, method.marker, method.version, needs_marker=False)
    return final is not None and wanted is not None and final.key == wanted.key


def needs_hint(completion: Completion, known: str, method: Method) -> bool:
    """Whether the model is asked again, with the known answer as a hint."""
    failed = completion.error is not None
    return method.keep_if_match and not failed and not matches(completion, known, method)


def verdicts_on_attempts(
    instruction: str,
    instance: InstanceCandidate,
    completions: Sequence[Completion],
    method: Method,
    rulebook: Rulebook,
) -> list[AnswerCandidate]:
    """Judge all completions of a task: one row by votes, else one for each attempt.

    If a request failed, there is no verdict: the task is still owed.

    Args:
        instruction: text of the instruction.
        instance: the instance that is answered; its output is the known answer.
        completions: of this task, in the order of their samples or attempts.
        method: how they are chosen.
        rulebook: config and templates of the run.
    """
    if any(completion.error is not None for completion in completions):
        return []

    def judged(completion: Completion) -> AnswerCandidate:
        return verdict_on_answer(instruction, instance, completion, rulebook)

    if method.votes > 1:
        return [_by_votes(list(map(judged, completions)), completions, method)]
    return [_attempt(judged(one), one, instance.output, method) for one in completions]


def _by_votes(
    rows: Sequence[AnswerCandidate], completions: Sequence[Completion], method: Method
) -> AnswerCandidate:
    """Return the row of the majority: of its completions, the first that passes the rules.

    Of final answers with equally many votes, the one that was sampled first counts.
    """
    finals = [final_of(completion, method) for completion in completions]
    counts: dict[str, int] = {}
    for final in finals:
        if final is not None:
            counts[final.key] = counts.get(final.key, 0) + 1
    id = ids.answer_of(rows[0].id)
    if not counts:
        row = replace(rows[0], id=id, agreement=0.0, votes=len(rows))
        return _unless_rejected(row, Failure(NO_FINAL_ANSWER.reason))
    majority = max(counts, key=lambda key: counts[key])  # the first of equals
    agreeing = [
        replace(row, final_answer=final.text)
        for row, final in zip(rows, finals, strict=True)
        if final is not None and final.key == majority
    ]
    kept = next((row for row in agreeing if row.verdict == ACCEPTED), agreeing[0])
    agreement = counts[majority] / len(rows)
    row = replace(kept, id=id, agreement=agreement, votes=len(rows))
    if agreement < method.min_agreement:
        return _unless_rejected(row, Failure(LOW_AGREEMENT.reason, method.min_agreement))
    return row


def _attempt(
    row: AnswerCandidate, completion: Completion, known: str, method: Method
) -> AnswerCandidate:
    """Return the row of one rationale."""
    final = final_of(completion, method)
    hinted = row.id != ids.answer_of(row.id)
    row = replace(row, final_answer=None if final is None else final.text, hinted=hinted)
    if final is None:
        return _unless_rejected(row, Failure(NO_FINAL_ANSWER.reason))
    if method.keep_if_match and not matches(completion, known, method):
        return _unless_rejected(row, Failure(NO_MATCH.reason))
    return row


def _unless_rejected(row: AnswerCandidate, failure: Failure) -> AnswerCandidate:
    """Reject a row that the rules on its text accepted."""
    if row.verdict != ACCEPTED:
        return row
    return with_failure(row, failure)


def by_answer(completions: Sequence[Completion]) -> dict[str, list[Completion]]:
    """Return the completions of each answer by its id, in order."""
    groups: dict[str, list[Completion]] = {}
    for completion in completions:
        groups.setdefault(ids.answer_of(completion.request.about), []).append(completion)
    return groups
