"""Verdicts again on the recorded self-chats of a run, commit by commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.chats import SelfChat
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import Completion
from selfinstruct.config.schema import RunConfig
from selfinstruct.decisions.view import by_round, read_judged
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.store import Run
from selfinstruct.store.chats import ChatCommit
from selfinstruct.verdicts.chat_turns import settings_of
from selfinstruct.verdicts.chats import (
    SPEAKER_KINDS,
    ChatStandards,
    ChatVerdicts,
    Opening,
    opening_of,
    see_turns,
    verdicts_of_chats,
)
from selfinstruct.verdicts.counts import count_outcomes
from selfinstruct.verdicts.rulebook import Rulebook


def openings_of(commit: ChatCommit) -> list[Opening]:
    """Return the self-chats of a commit without verdicts, with the turns that their tasks gave."""
    turns = commit.turns_of()
    return [
        opening_of(chat, *(turn.text for turn in turns[chat.id] if turn.is_opening))
        for chat in commit.chats
    ]


def way_of(info: Mapping[str, Any]) -> str:
    """Return a digest of how the self-chats of a commit were made, from its JSON.

    Another model, prompting, prompt, sampling or setting makes others. The model's name may change.
    """
    model = {key: value for key, value in info["model"].items() if key != "name"}
    return fingerprint({"model": model, "settings": info["settings"], "prompts": info["prompts"]})


class ChatThresholds:
    """The likelihood thresholds of self-chats: for each making its own, over its commits.

    They are a quantile of the scores of the first turns of each speaker, as those of tasks are of
    the first candidates. Seed tasks are no guard here: they are no turns of a conversation.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._by_way: dict[str, LikelihoodThresholds] = {}

    def of(self, info: Mapping[str, Any]) -> LikelihoodThresholds:
        """Return those of a commit's making; they grow as verdicts are given."""
        fresh = LikelihoodThresholds(self._config.likelihood, {0: {}})
        return self._by_way.setdefault(way_of(info), fresh)

    def take_in(self, commit: ChatCommit) -> None:
        """Take in a commit that has its verdicts, as giving them did."""
        see_turns(self.of(commit.info), commit.number, commit.turns)


def in_force(thresholds: LikelihoodThresholds, number: int) -> dict[str, float | None]:
    """Return the threshold of each speaker in a commit."""
    return {role: thresholds.least(kind, number) for role, kind in SPEAKER_KINDS.items()}


def counted_chats(verdicts: ChatVerdicts) -> dict[str, Any]:
    """Return the part of a commit's JSON about its verdicts."""
    return {
        "conversations": count_outcomes(verdicts.chats),
        "turns": count_outcomes([turn for turn in verdicts.turns if not turn.is_opening]),
    }


def judge_again(
    run: Run,
    commit: ChatCommit,
    completions: Sequence[Completion],
    rulebook: Rulebook,
    thresholds: ChatThresholds,
) -> ChatVerdicts:
    """Give verdicts again on the self-chats of a commit.

    Args:
        run: has the tasks that open them.
        commit: the self-chats; only their openings and what they were made by are used.
        completions: of their requests.
        rulebook: config and templates of the run.
        thresholds: of the commits before.
    """
    return verdicts_of_chats(
        openings_of(commit),
        completions,
        commit.number,
        ChatStandards(rulebook, settings_of(commit.info), thresholds.of(commit.info)),
        task_test(run, commit),
    )


def task_test(run: Run, commit: ChatCommit) -> Callable[[SelfChat], bool]:
    """Return whether the task that opens a self-chat of a commit is one.

    In the run that it was written for, a person's decision makes one too. A run that took the
    commit over (`merge`, `audit whatif --out`) has no decisions.
    """
    wanted = {chat.instruction_id for chat in commit.chats}
    judged, accepted = read_judged(run), set()
    for number, own in by_round(run, wanted).items():
        for task in judged.round(number, own):
            accepted |= {instance.id for instance in task.accepted()}
    decided = not commit.info.get("taken_over", False)
    return lambda chat: (decided and chat.opened_by == "person") or chat.instance_id in accepted


def renumbered(commit: ChatCommit, number: int, offset: int) -> ChatCommit:
    """Return a commit as another run takes it over: as its commit of a number, rounds moved up."""

    def moved(id: str) -> str:
        return ids.renumbered(id, offset)

    chats = [
        replace(
            chat,
            id=moved(chat.id),
            instruction_id=moved(chat.instruction_id),
            instance_id=moved(chat.instance_id),
            round=chat.round + offset,
        )
        for chat in commit.chats
    ]
    turns = [replace(turn, id=moved(turn.id), chat_id=moved(turn.chat_id)) for turn in commit.turns]
    kept = {key: value for key, value in commit.info.items() if key != "checksums"}
    return ChatCommit(number, {**kept, "taken_over": True}, chats, turns)
