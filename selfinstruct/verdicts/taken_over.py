"""What a run takes over from another beside its rounds: answers, self-chats, revisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from selfinstruct.common import ids
from selfinstruct.common.records import Completion
from selfinstruct.store import Run
from selfinstruct.store.chats import ChatCommit
from selfinstruct.store.commits import ANSWERS, CONVERSATIONS, REVISED, Commit
from selfinstruct.store.revisions import RevisionCommit
from selfinstruct.verdicts import chat_commits, revision_commits
from selfinstruct.verdicts.chat_commits import ChatThresholds, counted_chats, in_force
from selfinstruct.verdicts.rulebook import Rulebook


def take_over_answers(run: Run, batch: int, written: Run, offset: int) -> None:
    """Commit the answers of another model as they were judged."""
    rows = [
        replace(
            row,
            id=ids.renumbered(row.id, offset),
            instruction_id=ids.renumbered(row.instruction_id, offset),
            round=row.round + offset,
            completion_id=ids.renumbered(row.completion_id, offset),
            answer_to=ids.renumbered(row.answer_to or "", offset),
        )
        for row in ANSWERS.read_answers(run, batch)
    ]
    completions = [moved_completion(c, offset, {}) for c in ANSWERS.read_completions(run, batch)]
    ANSWERS.commit(written, Commit(completions, (), rows, ANSWERS.info(run, batch)))


def take_over_chats(
    run: Run,
    commit: ChatCommit,
    written: Run,
    offset: int,
    rulebook: Rulebook,
    thresholds: ChatThresholds,
) -> None:
    """Give verdicts again on a commit of self-chats, and commit it.

    One whose task is none any more is rejected. People's decisions are not taken over.
    """
    recorded = CONVERSATIONS.read_completions(run, commit.number)
    completions = [moved_completion(completion, offset, {}) for completion in recorded]
    number = CONVERSATIONS.next_number(written)
    again = chat_commits.renumbered(commit, number, offset)
    verdicts = chat_commits.judge_again(written, again, completions, rulebook, thresholds)
    info = {
        **again.info,
        **counted_chats(verdicts),
        "likelihood": in_force(thresholds.of(again.info), number),
    }
    CONVERSATIONS.commit(written, Commit(completions, (), (), info, verdicts.chats, verdicts.turns))


def take_over_revisions(
    run: Run, commit: RevisionCommit, written: Run, offset: int, rulebook: Rulebook
) -> None:
    """Give verdicts again on a commit of revisions, and commit it.

    Whether its tasks stand counts only where they are exported.
    """
    recorded = REVISED.read_completions(run, commit.number)
    completions = [moved_completion(completion, offset, {}) for completion in recorded]
    again = revision_commits.renumbered(commit, REVISED.next_number(written), offset)
    rows = revision_commits.judge_again(again, completions, rulebook)
    info = {**again.info, **revision_commits.counted_revisions(rows)}
    REVISED.commit(written, Commit(completions, (), (), info, revisions=rows))


def moved_completion(completion: Completion, offset: int, renamed: Mapping[str, str]) -> Completion:
    """Return a completion for a run in which rounds are moved up, and pool ids renamed."""
    request = completion.request
    parents = tuple(renamed.get(id) or ids.renumbered(id, offset) for id in request.parents)
    request = replace(
        request,
        id=ids.renumbered(request.id, offset),
        about=ids.renumbered(request.about, offset),
        parents=parents,
    )
    return replace(completion, request=request)
