"""Self-chats: asked, ended, judged, committed, resumed."""

from __future__ import annotations

from collections import Counter

from selfinstruct.store import Run
from selfinstruct.store.commits import CONVERSATIONS
from selfinstruct.verdicts.replay import replay
from tests.generate.chatting import chat


def test_every_task_opens_a_self_chat(small: Run) -> None:
    result = chat(small, batch_size=8)
    assert result.owed == result.written == 25
    numbers = CONVERSATIONS.numbers(small)
    chats = [one for n in numbers for one in CONVERSATIONS.read_chats(small, n)]
    turns = [one for n in numbers for one in CONVERSATIONS.read_turns(small, n)]
    print(Counter(one.ended for one in chats), Counter((o.verdict, o.reason) for o in chats))
    print(Counter((o.role, o.verdict, o.reason) for o in turns))
    assert replay(small) == []
