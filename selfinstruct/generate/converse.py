"""Self-chats: the model plays both sides, from each task of a run as the opening.

Xu et al. 2023 (Baize, arXiv:2304.01196): Self-Instruct extended to dialogue. The task and its
accepted output are the first exchange. Then the model writes the user's next turn and the reply to
it, until as many exchanges are there as are wanted, the user has nothing more to ask, or a turn
breaks a rule. verdicts/chats.py judges; this file asks and commits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.chats import SelfChat
from selfinstruct.common.progress import Conversed
from selfinstruct.common.records import ACCEPTED, InstanceCandidate
from selfinstruct.decisions.standing import Standing
from selfinstruct.decisions.view import read_view
from selfinstruct.engines.received import closing
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.engines.stream import batched, stream
from selfinstruct.filters.likelihood import LikelihoodThresholds
from selfinstruct.generate.chat_making import Making, make
from selfinstruct.generate.failures import stop_if_too_many
from selfinstruct.generate.open_chat import OpenChat
from selfinstruct.models import Progress
from selfinstruct.prompts.canonical import user_text
from selfinstruct.store import Run, run_lock
from selfinstruct.store.chats import ChatCommit, read_chat_commits
from selfinstruct.store.commits import CONVERSATIONS, Commit, count_commits
from selfinstruct.verdicts.chat_commits import (
    ChatThresholds,
    counted_chats,
    in_force,
    openings_of,
    way_of,
)
from selfinstruct.verdicts.chats import ChatStandards, Opening, opening_of, verdicts_of_chats
from selfinstruct.verdicts.counts import written_tokens

# Self-chats of one commit.
BATCH = 32


def converse(
    run: Run,
    values: Mapping[str, Any],
    *,
    make_engine: EngineFactory,
    model_progress: Progress,
    advance: Callable[[int, int], object],
    batch_size: int = BATCH,
) -> Conversed:
    """Write a self-chat for every task of a run that has none of this making.

    Args:
        run: the run; gets new folders under `conversations`.
        values: `converse`, `model`, `engine` and `instances.sampling` values, nested. Without
            `model.name`, the run's own model writes, prompted as for the run.
        make_engine: builds the engine without loading its model.
        model_progress: called with each step of preparing the model, and the share that is done.
        advance: called with (self-chats that are done, all that were owed).
        batch_size: self-chats of one commit.

    Raises:
        ConfigError: bad values, a model that is not the run's own, or a context too short for
            every self-chat.
        StoreError: the run is damaged.
        WriteError: the disk refuses; committed batches stay.
        EngineError: the engine failed, or failed on too many requests; committed batches stay,
            the rest is owed.
    """
    with run_lock(run.path):
        run.verify()
        count_commits(run)
        CONVERSATIONS.verify(run)
        making = make(run, values, make_engine, model_progress)
        recorded = list(read_chat_commits(run))
        owed = list(_owed(making, recorded))
        if not owed:
            return Conversed()
        openings = [opening.turns for opening in owed]
        context = making.context or making.requests.context_of(openings)
        with closing(making.engine):
            making.engine.start(context)
            thresholds = ChatThresholds(making.rulebook.config)
            for commit in recorded:
                thresholds.take_in(commit)
            writing = _Writing(making, owed, context, thresholds.of(making.info))
            return writing.run(advance, batch_size)


def _owed(making: Making, recorded: Sequence[ChatCommit]) -> Iterator[Opening]:
    """Yield an opening for each task as it stands that has no self-chat of this making.

    A task that was edited since is another opening. Of several instances, the first opens.
    """
    run, way = making.run, way_of(making.info)
    taken: dict[str, int] = {}
    opened: set[tuple[str, str, str]] = set()
    for commit in recorded:
        is_same = way_of(commit.info) == way
        for opening in openings_of(commit):
            taken[opening.chat.instruction_id] = taken.get(opening.chat.instruction_id, 0) + 1
            if is_same:
                opened.add(_texts(opening))
    for standing in read_view(run).standings():
        if standing.outcome != ACCEPTED or not standing.instances:
            continue
        task = standing.instruction
        opening = _opening(standing, standing.instances[0], taken.get(task.id, 0))
        if _texts(opening) not in opened:
            yield opening


def _texts(opening: Opening) -> tuple[str, str, str]:
    user, answer = opening.turns
    return opening.chat.instruction_id, user.text, answer.text


def _opening(standing: Standing, instance: InstanceCandidate, number: int) -> Opening:
    task = standing.instruction
    by_rules = task.verdict == instance.verdict == ACCEPTED and not standing.is_reworded(instance)
    chat = SelfChat(
        id=ids.chat(task.id, number),
        instruction_id=task.id,
        instance_id=instance.id,
        round=task.round,
        opened_by="rules" if by_rules else "person",
        rouge_l=task.rouge_l,
        neighbour_id=task.neighbour_id,
    )
    return opening_of(chat, user_text(task.text, instance.input), instance.output)


class _Writing:
    """Self-chats in order: many are open at a time, and each batch is committed once it is whole.

    Args:
        making: what they are made by; its engine is started.
        owed: their openings.
        context: of the engine, in tokens.
        thresholds: the likelihood thresholds of this making; they grow.
    """

    def __init__(
        self,
        making: Making,
        owed: Sequence[Opening],
        context: int,
        thresholds: LikelihoodThresholds,
    ) -> None:
        self._making = making
        self._chats = [
            OpenChat(opening, making.requests, making.rulebook, making.settings, context)
            for opening in owed
        ]
        self._thresholds = thresholds
        self._last_commit = time.perf_counter()

    def run(self, advance: Callable[[int, int], object], batch_size: int) -> Conversed:
        """Write all of them; arguments as `converse` has them.

        Raises:
            EngineError: the engine died, or failed on too many requests.
            WriteError: the disk refuses.
        """
        chats: list[SelfChat] = []

        def tell(_returned: int) -> None:
            advance(sum(chat.finished for chat in self._chats), len(self._chats))

        for batch in stream(self._making.engine, batched(self._chats, batch_size), tell):
            chats += self._commit(batch)
        return Conversed(
            owed=len(self._chats),
            written=len(chats),
            accepted=sum(chat.verdict == ACCEPTED for chat in chats),
            exchanges=sum(chat.exchanges for chat in chats),
            failed=sum(chat.failed for chat in self._chats),
        )

    def _commit(self, batch: Sequence[OpenChat]) -> list[SelfChat]:
        """Judge a batch and commit it. What failed for good is left out: it is owed again.

        Raises:
            EngineError: too many requests failed; nothing of the batch is committed.
        """
        run = self._making.run
        returned = [completion for chat in batch for completion in chat.completions()]
        stop_if_too_many(returned, len(returned), "this batch of self-chats")
        whole = [chat for chat in batch if not chat.failed]
        if not whole:
            return []
        completions = [completion for chat in whole for completion in chat.completions()]
        number = CONVERSATIONS.next_number(run)
        verdicts = verdicts_of_chats(
            [chat.opening for chat in whole],
            completions,
            number,
            ChatStandards(self._making.rulebook, self._making.settings, self._thresholds),
            lambda _: True,  # they are tasks of the run as it stands
        )
        now = time.perf_counter()
        info = {
            **self._making.info,
            **counted_chats(verdicts),
            "likelihood": in_force(self._thresholds, number),
            "tokens": {
                "prompt": sum(c.num_prompt_tokens for c in completions),
                "generated": sum(map(written_tokens, completions)),
            },
            "seconds": round(now - self._last_commit, 3),
        }
        self._last_commit = now
        commit = Commit(completions, (), (), info, verdicts.chats, verdicts.turns)
        CONVERSATIONS.commit(run, commit)
        return verdicts.chats
