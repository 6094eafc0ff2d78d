"""Verdicts on self-chats: a pure function of what was recorded, for `converse` and replay alike.

The opening is a task of the run, so its text and its novelty were judged as a task; nothing of it
is judged again. Each later turn is judged in three steps:

1. By rules on its text (filters/turns.py), as it comes. A turn that breaks one ends the self-chat.
2. By its likelihood, once a batch is written. A self-chat ends before the first turn that the model
   finds less likely than the threshold of its speaker: a quantile of the turns of the first batches
   of the same making, as for tasks (docs/likelihood.md).
3. With the others: a turn of the user needs a good reply, and a self-chat two exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfinstruct.common import ids
from selfinstruct.common.chats import ASSISTANT, USER, ChatTurn, SelfChat, role_of
from selfinstruct.common.records import ACCEPTED, REJECTED, Completion, Kind, Stage
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.filters.rule import (
    Failure,
    InstanceFacts,
    Of,
    When,
    first_failure,
)
from selfinstruct.filters.rules import steps_of
from selfinstruct.filters.turns import (
    AFTER_END,
    OPENING_REJECTED,
    SHORT_CHAT,
    UNANSWERED,
)
from selfinstruct.verdicts.candidates import with_scores
from selfinstruct.verdicts.chat_turns import ChatSettings, check_turn, with_failure
from selfinstruct.verdicts.rulebook import Rulebook

# An exchange beside the opening, or it is only the task once more.
LEAST_EXCHANGES = 2
# Whose turns have which threshold of the likelihood filter.
SPEAKER_KINDS = {USER: Kind.INSTRUCTION, ASSISTANT: Kind.OUTPUT}


@dataclass(frozen=True)
class ChatStandards:
    """What the self-chats of a commit are judged by.

    rulebook: config and templates of the run.
    settings: of the self-chats.
    thresholds: the likelihood thresholds of self-chats of the same making; they grow.
    """

    rulebook: Rulebook
    settings: ChatSettings
    thresholds: LikelihoodThresholds


@dataclass(frozen=True)
class Opening:
    """A self-chat without verdict, and the two turns that its task gives."""

    chat: SelfChat
    turns: Sequence[ChatTurn]


@dataclass(frozen=True)
class ChatVerdicts:
    """The self-chats of a commit with their verdicts, and all their turns, in order."""

    chats: list[SelfChat]
    turns: list[ChatTurn]


def opening_of(chat: SelfChat, user: str = "", answer: str = "") -> Opening:
    """Return a self-chat before its first verdict.

    Args:
        chat: what opens it; anything else of the row is left out.
        user: what the user says first: the instruction, and the input.
        answer: the output.
    """
    bare = replace(chat, exchanges=0, ended=None, verdict=None, reason=None)
    turns = [
        ChatTurn(ids.turn(chat.id, number), chat.id, number, role_of(number), None, 0, 0, text)
        for number, text in enumerate((user, answer))
    ]
    return Opening(bare, turns)


def request_id(chat_id: str, number: int) -> str:
    """Return the id of the request for a turn."""
    return ids.request(ids.turn(chat_id, number), stage_of(number))


def stage_of(number: int) -> Stage:
    """Return the stage of the request for a turn."""
    return Stage.USER if role_of(number) == USER else Stage.REPLY


def verdicts_of_chats(
    openings: Sequence[Opening],
    completions: Sequence[Completion],
    number: int,
    standards: ChatStandards,
    is_task: Callable[[SelfChat], bool],
) -> ChatVerdicts:
    """Give verdicts on the self-chats of a commit and on their turns.

    Args:
        openings: the self-chats, in order.
        completions: of all their requests, in any order.
        number: of the commit; the likelihood thresholds count from the one that fixed them.
        standards: what they are judged by; the thresholds see the scores of these first.
        is_task: whether the task that opens a self-chat is one, by the rules or a person.
    """
    by_id = with_scores({completion.id: completion for completion in completions})
    rulebook, thresholds = standards.rulebook, standards.thresholds
    written = [_written(opening, by_id, rulebook, standards.settings) for opening in openings]
    see_turns(thresholds, number, [turn for turns, _ in written for turn in turns])
    chats: list[SelfChat] = []
    rows: list[ChatTurn] = []
    for opening, (turns, last) in zip(openings, written, strict=True):
        checked = [_check_likelihood(turn, number, rulebook, thresholds) for turn in turns]
        unlikely = next((turn.reason for turn in checked if _fell_late(turn)), None)
        chat, checked = _finish(replace(opening.chat, ended=unlikely or last), checked, is_task)
        chats.append(chat)
        rows += checked
    return ChatVerdicts(chats, rows)


def _written(
    opening: Opening,
    by_id: Mapping[str, Completion],
    rulebook: Rulebook,
    settings: ChatSettings,
) -> tuple[list[ChatTurn], str]:
    """Return the turns as far as they were asked for, and why there are no more."""
    turns = list(opening.turns)
    while len(turns) < 2 * settings.turns:
        completion = by_id.get(request_id(opening.chat.id, len(turns)))
        if completion is None:
            return turns, "no_room"
        turn = check_turn(completion, turns, rulebook, settings)
        turns.append(turn)
        if turn.reason is not None:
            return turns, turn.reason
    return turns, "turns"


def see_turns(thresholds: LikelihoodThresholds, number: int, turns: Sequence[ChatTurn]) -> None:
    """Show thresholds the scores of a commit's turns that passed the rules on text."""
    for role, kind in SPEAKER_KINDS.items():
        own = [turn for turn in turns if not turn.is_opening and turn.role == role]
        scores = [turn.mean_logprob for turn in own if passed_its_text(turn.reason)]
        thresholds.see(kind, number, scores)


def passed_its_text(reason: str | None) -> bool:
    """Whether a turn with a reason had passed the rules on its text; None is accepted."""
    return reason is None or all(step >= When.LIKELIHOOD for step in steps_of(reason))


def _check_likelihood(
    turn: ChatTurn, number: int, rulebook: Rulebook, thresholds: LikelihoodThresholds
) -> ChatTurn:
    """Check a turn by the threshold of its speaker, if it passed the rules on its text."""
    if turn.is_opening:
        return turn
    kind = SPEAKER_KINDS[turn.role]
    least = thresholds.least(kind, number)
    turn = replace(turn, logprob_threshold=least)
    if turn.reason is not None:
        return turn
    rules = rulebook.rules(Of.INSTANCE, When.LIKELIHOOD, When.LIKELIHOOD)
    facts = InstanceFacts(
        "", "", turn.text, mean_logprob=turn.mean_logprob, logprob_threshold=least, kind=kind
    )
    return with_failure(turn, first_failure(rules, facts, rulebook.config))


def _fell_late(turn: ChatTurn) -> bool:
    return turn.reason is not None and passed_its_text(turn.reason)


def _finish(
    chat: SelfChat, turns: Sequence[ChatTurn], is_task: Callable[[SelfChat], bool]
) -> tuple[SelfChat, list[ChatTurn]]:
    """Give a self-chat and its turns their last verdicts."""
    end = next((place for place, turn in enumerate(turns) if turn.reason is not None), len(turns))
    exchanges = end // 2
    failure: Failure | None = None
    if not is_task(chat):
        failure = Failure(OPENING_REJECTED.reason)
    elif exchanges < LEAST_EXCHANGES:
        failure = Failure(SHORT_CHAT.reason)
    rows: list[ChatTurn] = []
    for place, turn in enumerate(turns):
        own: Failure | None = None
        if turn.reason is not None:
            pass
        elif place > end:
            own = Failure(AFTER_END.reason)
        elif failure is not None:
            own = failure
        elif place >= 2 * exchanges:
            own = Failure(UNANSWERED.reason)
        done = turn if turn.reason is not None else with_failure(turn, own)
        rows.append(done if done.reason is not None else replace(done, verdict=ACCEPTED))
    if failure is not None:
        return replace(chat, exchanges=0, verdict=REJECTED, reason=failure.reason), rows
    return replace(chat, exchanges=exchanges, verdict=ACCEPTED), rows
