"""Look at the answers that were written later: a teacher's, and a model's own by votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import Any

from selfinstruct.audit.completions import Asked, asked_by_id
from selfinstruct.audit.search import JUDGED, Filter, check_outcomes
from selfinstruct.common import ids
from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED, Completion
from selfinstruct.dataset.chosen_answers import is_taken
from selfinstruct.decisions.lookup import find
from selfinstruct.filters.outcomes import LOW_AGREEMENT
from selfinstruct.store import Run
from selfinstruct.store.commits import ANSWERS
from selfinstruct.store.layout import COMPLETIONS
from selfinstruct.verdicts.own_answers import Method, final_of, method_of

TABLE = "answers"
_SORTS = (JUDGED, "agreement")
_FILTERS = {"table", "verdict", "reason", "round", "text", "instruction_id"}
_TEXTS = ("input", "output")


@dataclass(frozen=True, slots=True)
class Vote:
    """A completion that was compared, and the final answer that was read in it, if any."""

    id: str
    final_answer: str | None
    finish_reason: str


@dataclass(frozen=True)
class AnswerDetail:
    """An answer with its context.

    row: its columns.
    instruction: text of its task.
    known: the run's own output for the task.
    model: what answers.json says of the model.
    method: how it was chosen; None for an answer that was asked for once.
    votes: every completion that was compared.
    asked: the request and the completion of the answer itself.
    """

    row: Mapping[str, Any]
    instruction: str
    known: str
    model: Mapping[str, Any]
    method: Mapping[str, Any] | None
    votes: Sequence[Vote]
    asked: Sequence[Asked]


@dataclass(frozen=True)
class AgreementWhatIf:
    """Answers by votes: their counts by outcome, as recorded and with another least agreement."""

    before: Mapping[str, int]
    after: Mapping[str, int]
    changed: Sequence[str]


def find_answers(
    run: Run,
    wanted: Filter,
    *,
    sort: str = JUDGED,
    descending: bool = False,
    offset: int = 0,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Return the answers that a filter finds, as rows with the columns of docs/run.md.

    Raises:
        ConfigError: no such verdict or reason, or a filter or an order that they do not have.
        StoreError: a file of the run is damaged.
    """
    given = {one.name for one in fields(wanted) if getattr(wanted, one.name) is not None}
    wrong = sorted(given - _FILTERS)
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: is not a filter of {TABLE}; leave it out")
    if sort not in _SORTS:
        raise ConfigError(f"sort by {sort}: {TABLE} cannot be; there are: {', '.join(_SORTS)}")
    if offset < 0 or (limit is not None and limit < 1):
        raise ConfigError(f"offset {offset}, limit {limit}: give 0 or more, and 1 or more")
    check_outcomes(wanted)
    found = [row for _, row in _answers(run) if _matches(row, wanted)]
    if sort != JUDGED:
        scored = [row for row in found if row.agreement is not None]
        rest = [row for row in found if row.agreement is None]
        found = sorted(scored, key=lambda row: row.agreement or 0.0, reverse=descending) + rest
    elif descending:
        found = found[::-1]
    end = None if limit is None else offset + limit
    return ({**asdict(row), "override": None} for row in islice(found, offset, end))


def show_answer(run: Run, id: str) -> AnswerDetail:
    """Return everything about one answer.

    Raises:
        ConfigError: the run has none of this id.
        StoreError: a file of the run is damaged.
    """
    found = next(((number, row) for number, row in _answers(run) if row.id == id), None)
    if found is None:
        raise ConfigError(
            f"{id}: {run.path} has no such answer; list them: selfinstruct audit list {run.path} "
            "--stage answers"
        )
    number, row = found
    info = ANSWERS.info(run, number)
    method = method_of(info)
    task = find(run, row.instruction_id)
    known = [one.output for one in task.instances if one.id == row.answer_to]
    span = (row.output_char_start, row.output_char_end)
    file = ANSWERS.committed(run, number, COMPLETIONS)
    own = _completions_of(run, number, row) if method is not None else []
    return AnswerDetail(
        row=asdict(row),
        instruction=task.instruction.text,
        known=known[0] if known else "",
        model=info["model"],
        method=None if method is None else method.stored(),
        votes=[_vote(one, method) for one in own if method is not None],
        asked=asked_by_id([file], {row.completion_id: span}),
    )


def answers_to(run: Run, id: str) -> list[dict[str, Any]]:
    """Return the answers to an instance, or to all instances of an instruction, by its id.

    Raises:
        StoreError: a file of the run is damaged.
    """
    return [asdict(row) for _, row in _answers(run) if id in (row.answer_to, row.instruction_id)]


def agreement_what_if(run: Run, min_agreement: float) -> AgreementWhatIf:
    """Judge the answers by votes again, by another least agreement; nothing is written.

    Raises:
        ConfigError: the run has no answers by votes.
        StoreError: a file of the run is damaged.
    """
    voted = [row for _, row in _answers(run) if row.agreement is not None]
    if not voted:
        raise ConfigError(
            f"{run.path}: has no answers by votes; write some with: selfinstruct answer "
            f"{run.path} --model MODEL --votes 8"
        )
    before = [str(row.reason or row.verdict) for row in voted]
    after = [_again(row, min_agreement) for row in voted]
    changed = [row.id for row, old, new in zip(voted, before, after, strict=True) if old != new]
    return AgreementWhatIf(dict(Counter(before)), dict(Counter(after)), changed)


def _again(row: AnswerCandidate, min_agreement: float) -> str:
    if is_taken(row, min_agreement):
        return ACCEPTED
    return LOW_AGREEMENT.reason if row.verdict == ACCEPTED else str(row.reason)


def _answers(run: Run) -> Iterator[tuple[int, AnswerCandidate]]:
    """Yield the answers of a run, each with the number of its commit."""
    for number in ANSWERS.numbers(run):
        for row in ANSWERS.read_answers(run, number):
            yield number, row


def _matches(row: AnswerCandidate, wanted: Filter) -> bool:
    for name in ("verdict", "reason", "round", "instruction_id"):
        value = getattr(wanted, name)
        if value is not None and getattr(row, name) != value:
            return False
    text = (wanted.text or "").lower()
    return not text or any(text in getattr(row, name).lower() for name in _TEXTS)


def _completions_of(run: Run, number: int, row: AnswerCandidate) -> list[Completion]:
    own = ids.answer_of(row.id)
    completions = ANSWERS.read_completions(run, number)
    return [one for one in completions if ids.answer_of(one.request.about) == own]


def _vote(completion: Completion, method: Method) -> Vote:
    final = final_of(completion, method)
    return Vote(completion.id, None if final is None else final.text, completion.finish_reason)
