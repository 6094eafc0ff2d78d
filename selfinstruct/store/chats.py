"""The commits of self-chats of a run, read back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.chats import ChatTurn, SelfChat
from selfinstruct.common.errors import StoreError
from selfinstruct.common.versions import CHATS_VERSION
from selfinstruct.store.commits import CONVERSATIONS
from selfinstruct.store.run import Run


@dataclass(frozen=True)
class ChatCommit:
    """One commit of self-chats as recorded; `info` is the content of its JSON."""

    number: int
    info: Mapping[str, Any]
    chats: Sequence[SelfChat]
    turns: Sequence[ChatTurn]

    def turns_of(self) -> dict[str, list[ChatTurn]]:
        """Return the turns of each self-chat, in order."""
        by_chat: dict[str, list[ChatTurn]] = {chat.id: [] for chat in self.chats}
        for turn in self.turns:
            by_chat[turn.chat_id].append(turn)
        return by_chat


def read_chat_commits(run: Run) -> Iterator[ChatCommit]:
    """Yield the commits of self-chats, in order, without their completions.

    Raises:
        StoreError: a file is damaged, or newer than this code.
    """
    for number in CONVERSATIONS.numbers(run):
        info = CONVERSATIONS.info(run, number)
        if info["settings"].get("version", CHATS_VERSION) > CHATS_VERSION:
            raise StoreError(
                f"{CONVERSATIONS.info_path(run, number)}: was judged by rules that are newer than "
                "this program knows; upgrade selfinstruct"
            )
        chats = CONVERSATIONS.read_chats(run, number)
        yield ChatCommit(number, info, chats, CONVERSATIONS.read_turns(run, number))
