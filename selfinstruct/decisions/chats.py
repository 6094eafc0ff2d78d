"""The self-chats of a run as they stand: people's decisions applied.

A person may drop a self-chat, or one of its turns: then it ends before the exchange of that turn. A
self-chat stands while its task does, unchanged: an edited task has no answer to the turns after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from selfinstruct.common import ids
from selfinstruct.common.chats import ChatTurn, SelfChat
from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.overrides import Action, Override
from selfinstruct.decisions.standing import DROPPED
from selfinstruct.store import Run
from selfinstruct.store.chats import ChatCommit, read_chat_commits
from selfinstruct.store.commits import CONVERSATIONS

# With fewer exchanges it is only its task once more (verdicts/chats.py judges likewise).
_LEAST_EXCHANGES = 2


@dataclass(frozen=True)
class StandingChat:
    """A self-chat with all its turns.

    chat: as judged.
    turns: all that were written, with their verdicts.
    outcome: `accepted`, `dropped`, or the reason of its rejection.
    exchanges: those that are kept; 0 if it is not accepted.
    """

    chat: SelfChat
    turns: list[ChatTurn]
    outcome: str
    exchanges: int

    def kept(self) -> list[ChatTurn]:
        """Return the turns that are in the dataset, in order."""
        return self.turns[: 2 * self.exchanges]


def standing_chats(run: Run, decisions: Mapping[str, Override]) -> Iterator[StandingChat]:
    """Yield the self-chats of a run as they stand, in the order in which they were written.

    Raises:
        StoreError: a file is damaged.
    """
    for commit in read_chat_commits(run):
        yield from _of_commit(commit, decisions)


def _of_commit(commit: ChatCommit, decisions: Mapping[str, Override]) -> Iterator[StandingChat]:
    turns = commit.turns_of()
    for chat in commit.chats:
        yield stand_chat(chat, turns[chat.id], decisions)


def stand_chat(
    chat: SelfChat, turns: list[ChatTurn], decisions: Mapping[str, Override]
) -> StandingChat:
    """Apply the decisions that count now to one self-chat."""
    if chat.verdict != ACCEPTED:
        return StandingChat(chat, turns, str(chat.reason), 0)
    if _is_dropped(chat.id, decisions):
        return StandingChat(chat, turns, DROPPED, 0)
    dropped = [turn.number for turn in turns if _is_dropped(turn.id, decisions)]
    exchanges = min([chat.exchanges, *(number // 2 for number in dropped)])
    if exchanges < _LEAST_EXCHANGES:
        return StandingChat(chat, turns, DROPPED, 0)
    return StandingChat(chat, turns, ACCEPTED, exchanges)


def _is_dropped(id: str, decisions: Mapping[str, Override]) -> bool:
    return id in decisions and decisions[id].action is Action.DROP


def chats_by_opening(
    run: Run, decisions: Mapping[str, Override]
) -> dict[tuple[str, str, str], StandingChat]:
    """Return the kept self-chats by instance, what the user says first, and the first answer.

    Of several with one opening, the newest counts.

    Raises:
        StoreError: a file is not what was committed.
    """
    CONVERSATIONS.verify(run)
    return {
        (one.chat.instance_id, one.turns[0].text, one.turns[1].text): one
        for one in standing_chats(run, decisions)
        if one.outcome == ACCEPTED
    }


def find_chat(run: Run, id: str, decisions: Mapping[str, Override]) -> StandingChat | None:
    """Return the self-chat of its own id or of a turn's; None if the run has none.

    Raises:
        StoreError: a file is damaged.
    """
    wanted = ids.chat_of(id)
    for one in standing_chats(run, decisions) if wanted else ():
        if one.chat.id == wanted and (id == wanted or any(turn.id == id for turn in one.turns)):
            return one
    return None
