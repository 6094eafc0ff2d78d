"""Look at self-chats: list them and their turns, and show one with everything about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import Any

from selfinstruct.audit.completions import Asked, asked_by_id
from selfinstruct.audit.revisions import REVISIONS, revision_rows
from selfinstruct.audit.search import JUDGED, Filter, check_outcomes
from selfinstruct.common import ids
from selfinstruct.common.chats import ChatTurn, SelfChat
from selfinstruct.common.errors import ConfigError
from selfinstruct.decisions.decide_chats import chat_outcome, standing_chat
from selfinstruct.decisions.overrides import Override, read_overrides
from selfinstruct.store import Run
from selfinstruct.store.chats import ChatCommit, read_chat_commits
from selfinstruct.store.commits import CONVERSATIONS
from selfinstruct.store.layout import COMPLETIONS

CHAT_TABLES = ("conversations", "turns")
# Those that `find_chats` looks at.
LATER_TABLES = (*CHAT_TABLES, REVISIONS)
_FILTERS = frozenset({"table", "verdict", "reason", "round", "text", "overridden"})


@dataclass(frozen=True)
class ChatDetail:
    """One self-chat with its turns.

    row: of the self-chat. outcome: with decisions applied.
    turns: rows of its turns, each with its `outcome`.
    model: that plays both sides: name and digest.
    overrides: every decision about it and its turns, the oldest first.
    asked: the request behind the turn that was asked for; of a whole self-chat, none.
    """

    row: Mapping[str, Any]
    outcome: str
    turns: Sequence[Mapping[str, Any]]
    model: Mapping[str, Any]
    overrides: Sequence[Override]
    asked: Sequence[Asked]


def find_chats(
    run: Run,
    wanted: Filter,
    *,
    sort: str = JUDGED,
    descending: bool = False,
    offset: int = 0,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Return the self-chats, turns or revisions that a filter finds, in the order of the run.

    A self-chat's row has its turns' texts too, as `turns`; a turn's row has its `round`.

    Raises:
        ConfigError: no such verdict or reason, or a filter or an order that they do not have.
        StoreError: a file of the run is damaged.
    """
    given = {one.name for one in fields(wanted) if getattr(wanted, one.name) is not None}
    wrong = sorted(given - _FILTERS)
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: is not a filter of {wanted.table}; leave it out")
    if sort != JUDGED:
        raise ConfigError(f"sort by {sort}: {wanted.table} cannot be; there is: {JUDGED}")
    if offset < 0 or (limit is not None and limit < 1):
        raise ConfigError(f"offset {offset}, limit {limit}: give 0 or more, and 1 or more")
    check_outcomes(wanted)
    overrides = read_overrides(run).current
    rows = (row for row in _rows(run, wanted.table) if _matches(row, wanted))
    decided = ({**row, "override": _action(overrides, row["id"])} for row in rows)
    chosen = (row for row in decided if wanted.overridden in (None, row["override"] is not None))
    found = list(chosen)[::-1] if descending else chosen
    return islice(found, offset, None if limit is None else offset + limit)


def _rows(run: Run, table: str) -> Iterator[dict[str, Any]]:
    if table == REVISIONS:
        yield from revision_rows(run)
        return
    for commit in read_chat_commits(run):
        turns = commit.turns_of()
        for chat in commit.chats:
            if table == "turns":
                yield from ({**asdict(turn), "round": chat.round} for turn in turns[chat.id])
            else:
                said = [{"role": turn.role, "text": turn.text} for turn in turns[chat.id]]
                yield {**asdict(chat), "turns": said}


def _matches(row: Mapping[str, Any], wanted: Filter) -> bool:
    for name in ("verdict", "reason", "round"):
        value = getattr(wanted, name)
        if value is not None and row[name] != value:
            return False
    texts = [row["text"]] if "text" in row else [turn["text"] for turn in row["turns"]]
    return not wanted.text or any(wanted.text.lower() in text.lower() for text in texts)


def _action(overrides: Mapping[str, Override], id: str) -> str | None:
    return str(overrides[id].action) if id in overrides else None


def show_chat(run: Run, id: str) -> ChatDetail:
    """Return everything about a self-chat, by its own id or the id of one of its turns.

    Raises:
        ConfigError: the run has none of this id.
        StoreError: a file of the run is damaged.
    """
    overrides = read_overrides(run)
    found = standing_chat(run, id, overrides)
    commit = _commit_of(run, found.chat)
    wanted = [turn for turn in found.turns if turn.id == id]
    return ChatDetail(
        row=asdict(found.chat),
        outcome=found.outcome,
        turns=[{**asdict(turn), "outcome": chat_outcome(found, turn.id)} for turn in found.turns],
        model=commit.info["model"],
        overrides=[entry for entry in overrides.entries if ids.chat_of(entry.id) == found.chat.id],
        asked=_asked(run, commit.number, wanted),
    )


def _commit_of(run: Run, chat: SelfChat) -> ChatCommit:
    commits = read_chat_commits(run)
    return next(commit for commit in commits if chat.id in {own.id for own in commit.chats})


def _asked(run: Run, number: int, turns: Sequence[ChatTurn]) -> list[Asked]:
    spans = {
        turn.completion_id: (turn.char_start, turn.char_end)
        for turn in turns
        if turn.completion_id is not None
    }
    return asked_by_id([CONVERSATIONS.committed(run, number, COMPLETIONS)], spans)


def opened_by(run: Run, id: str) -> list[str]:
    """Return the ids of the self-chats that a task opens, by its instruction's or instance's id.

    Raises:
        StoreError: a file of the run is damaged.
    """
    chats = (chat for commit in read_chat_commits(run) for chat in commit.chats)
    return [chat.id for chat in chats if id in (chat.instruction_id, chat.instance_id)]


def count_chats(run: Run) -> dict[str, dict[str, int]]:
    """Count the self-chats and their turns by verdict or reason; openings are not counted."""
    counts: dict[str, Counter[str]] = {table: Counter() for table in CHAT_TABLES}
    for number in CONVERSATIONS.numbers(run):
        info = CONVERSATIONS.info(run, number)
        for table, count in counts.items():
            count.update(info[table])
    return {table: {key: n for key, n in count.items() if n} for table, count in counts.items()}
