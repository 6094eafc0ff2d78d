"""The dataset of a run as it stands, row by row, for exports, training and preferences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from selfinstruct.common.records import InstanceCandidate, Message
from selfinstruct.dataset.chosen_answers import NO_LIMITS, AnswerLimits, Answers, best_answers
from selfinstruct.decisions.chats import StandingChat, chats_by_opening
from selfinstruct.decisions.overrides import Action, Override
from selfinstruct.decisions.revisions import (
    Revisions,
    StandingRevision,
    read_standing_revisions,
    revisable,
)
from selfinstruct.decisions.standing import Standing
from selfinstruct.decisions.view import read_view
from selfinstruct.prompts.canonical import user_text
from selfinstruct.store import Run

__all__ = ["Answers", "ExportRow", "PromptedRow", "export_rows", "restored_reasons"]


@dataclass(frozen=True, slots=True)
class ExportRow:
    """One accepted instance of an accepted instruction, with people's edits.

    Attributes:
        override: a person's decision about the instruction or the instance (`restore`, `edit`),
            or None.
            Scores of an edited text are NaN.
        conversation_id: the conversation that the task opens (`selfinstruct converse`), if the
            row has one.
        turns: its messages after the first exchange, by the user and the assistant in turn.
        item: for an imported task, the id of the row that it was made from.
        shown: for an imported task, the ids of the rows shown as worked examples.
        draft: for a revision, the output that was revised.
    """

    id: str
    instruction_id: str
    instruction: str
    input: str
    output: str
    is_classification: bool | None
    round: int
    mean_logprob: float
    rouge_l: float
    override: str | None = None
    conversation_id: str | None = None
    turns: tuple[Message, ...] = ()
    item: str | None = None
    shown: tuple[str, ...] = ()
    draft: str | None = None


@dataclass(frozen=True, slots=True)
class PromptedRow(ExportRow):
    """A row with a system prompt, where an export was asked for one."""

    system: str | None = None


def export_rows(
    run: Run,
    answers: Answers = Answers.OWN,
    *,
    conversations: bool = False,
    limits: AnswerLimits = NO_LIMITS,
) -> Iterator[ExportRow]:
    """Yield the dataset of a run, in the order in which it was generated.

    Args:
        run: the run.
        answers: whose outputs.
        conversations: carry on a row by the self-chat that it opens. There is none where another
            output than the run's own stands in its place.
        limits: more about which answers are taken.

    Raises:
        StoreError: a file of the run is damaged.
    """
    rows = _rows(run, answers, limits, conversations=conversations)
    return (row for row, _ in rows)


def restored_reasons(
    run: Run, answers: Answers, limits: AnswerLimits = NO_LIMITS
) -> dict[str, tuple[str, ...]]:
    """Return why rows were rejected before a person restored them, by the id of the row.

    Raises:
        StoreError: a file of the run is damaged.
    """
    return {row.id: reasons for row, reasons in _rows(run, answers, limits) if reasons}


def _rows(
    run: Run, answers: Answers, limits: AnswerLimits, *, conversations: bool = False
) -> Iterator[tuple[ExportRow, tuple[str, ...]]]:
    """Yield rows, each with the reasons for which its instruction or instance was rejected."""
    teacher = best_answers(run, answers, limits)
    revisions = read_standing_revisions(run) if answers.are_revised else Revisions()
    view = read_view(run)
    decisions = view.overrides.current
    chats = chats_by_opening(run, decisions) if conversations else {}
    for standing in view.standings():
        instruction = standing.instruction
        for instance in revisable(standing):
            revised = revisions.of(instruction, instance)
            if instance is None:  # it waits for its first output
                if revised is not None:
                    yield _revised_row(standing, None, revised, decisions), ()
                continue
            reasons = tuple(str(one.reason) for one in (instruction, instance) if one.reason)
            if revised is not None:
                yield _revised_row(standing, instance, revised, decisions), reasons
                continue
            answer = None if standing.is_reworded(instance) else teacher.get(instance.id)
            if answer is None and not answers.with_own:
                continue
            row = answer or instance
            user = user_text(instruction.text, row.input)
            chat = chats.get((row.id, user, row.output))
            exported = ExportRow(
                row.id,
                instruction.id,
                instruction.text,
                row.input,
                row.output,
                instruction.is_classification,
                instruction.round,
                row.mean_logprob,
                instruction.rouge_l,
                _override(decisions, instruction.id, instance.id),
                chat.chat.id if chat is not None else None,
                _later_turns(chat) if chat is not None else (),
                instance.source_id if instance.template is not None else None,
                instance.shown or (),
            )
            yield exported, reasons


def _revised_row(
    standing: Standing,
    instance: InstanceCandidate | None,
    revised: StandingRevision,
    decisions: Mapping[str, Override],
) -> ExportRow:
    """Return the row of a task whose output a model has revised."""
    task, row = standing.instruction, revised.row
    is_imported = instance is not None and instance.template is not None
    return ExportRow(
        row.id,
        task.id,
        task.text,
        row.input,
        row.text,
        task.is_classification,
        task.round,
        row.mean_logprob,
        task.rouge_l,
        _override(decisions, task.id, *(() if instance is None else (instance.id,))),
        item=instance.source_id if instance is not None and is_imported else None,
        shown=() if instance is None else instance.shown or (),
        draft=revised.draft.text,
    )


def _later_turns(chat: StandingChat) -> tuple[Message, ...]:
    """Return the kept turns of a self-chat after its opening."""
    return tuple(
        Message(role=turn.role, content=turn.text) for turn in chat.kept() if not turn.is_opening
    )


def _override(decisions: Mapping[str, Override], *ids: str) -> str | None:
    """Return the decision about an instance or its instruction; an edit says more."""
    actions = {decisions[id].action for id in ids if id in decisions}
    return str(max(actions, key=lambda action: action is Action.EDIT)) if actions else None
