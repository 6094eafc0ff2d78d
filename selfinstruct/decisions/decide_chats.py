"""Decide about a self-chat or one of its turns: drop it, or take that back."""

from __future__ import annotations

from selfinstruct.common import ids
from selfinstruct.common.chats import OPENING_TURNS
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED
from selfinstruct.decisions.chats import StandingChat, find_chat
from selfinstruct.decisions.overrides import Action, Overrides, read_overrides
from selfinstruct.decisions.standing import DROPPED
from selfinstruct.store import Run


def check_chat_decision(run: Run, id: str, action: Action) -> None:
    """Refuse a decision that means nothing for a self-chat or a turn of it.

    Raises:
        ConfigError: the run has none of this id, it cannot be dropped, or nothing is to be undone.
    """
    overrides = read_overrides(run)
    found = standing_chat(run, id, overrides)
    if action is Action.UNDO:
        if id not in overrides.current:
            raise ConfigError(
                f"{id}: nobody has decided anything about it; there is nothing to undo"
            )
        return
    if action is not Action.DROP:
        raise ConfigError(
            f"{id}: a conversation and its turns can be dropped, and that be undone; to {action} "
            f"the task that opens it, name {found.chat.instruction_id}"
        )
    if id in overrides.current:
        raise ConfigError(f"{id}: is dropped already; take that back with: audit undo")
    number = ids.turn_number(id)
    if number is not None and number < OPENING_TURNS:
        raise ConfigError(
            f"{id}: is the task itself; drop {found.chat.instance_id}, or the whole conversation "
            f"{found.chat.id}"
        )
    outcome = chat_outcome(found, id)
    if outcome != ACCEPTED:
        raise ConfigError(f"{id}: is not in the dataset ({outcome}); there is nothing to drop")


def standing_chat(run: Run, id: str, overrides: Overrides) -> StandingChat:
    """Return the self-chat of its own id or of a turn's.

    Raises:
        ConfigError: the run has none of this id.
    """
    found = find_chat(run, id, overrides.current)
    if found is None:
        raise ConfigError(
            f"{id}: {run.path} has no such conversation; list them: selfinstruct audit list "
            f"{run.path} --stage conversations"
        )
    return found


def chat_outcome(found: StandingChat, id: str) -> str:
    """Return the outcome of a self-chat, or of its turn of this id, with decisions applied."""
    if id == found.chat.id:
        return found.outcome
    turn = next(turn for turn in found.turns if turn.id == id)
    if turn.verdict != ACCEPTED:
        return str(turn.reason)
    return ACCEPTED if turn.number < 2 * found.exchanges else DROPPED
