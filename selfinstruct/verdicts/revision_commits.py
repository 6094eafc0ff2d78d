"""Verdicts again on the recorded revisions of a run, commit by commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfinstruct.common import ids
from selfinstruct.common.fingerprint import fingerprint
from selfinstruct.common.records import Completion
from selfinstruct.common.revisions import Revision
from selfinstruct.store.revisions import RevisionCommit
from selfinstruct.verdicts.counts import count_outcomes
from selfinstruct.verdicts.revisions import rows_of_series, series_of, settings_of
from selfinstruct.verdicts.rulebook import Rulebook


def way_of(info: Mapping[str, Any]) -> str:
    """Return a digest of how the revisions of a commit were made, from its JSON.

    Another model, prompting, prompt, sampling, principle or setting makes others. The model's name
    may change.
    """
    model = {key: value for key, value in info["model"].items() if key != "name"}
    return fingerprint({"model": model, "settings": info["settings"], "prompts": info["prompts"]})


def counted_revisions(rows: Sequence[Revision]) -> dict[str, Any]:
    """Return the part of a commit's JSON about its verdicts."""
    return {
        "drafts": count_outcomes([row for row in rows if row.is_draft]),
        "revisions": count_outcomes([row for row in rows if not row.is_draft]),
    }


def judge_again(
    commit: RevisionCommit, completions: Sequence[Completion], rulebook: Rulebook
) -> list[Revision]:
    """Give verdicts again on the revisions of a commit.

    Args:
        commit: its rows; only the drafts, the tasks and the principles are used.
        completions: of their requests.
        rulebook: config and templates of the run.
    """
    settings = settings_of(commit.info)
    taken_over = bool(commit.info.get("taken_over", False))
    by_id = {completion.id: completion for completion in completions}
    every = [series_of(rows, settings, taken_over=taken_over) for rows in commit.series()]
    return [row for one in every for row in rows_of_series(one, by_id, rulebook, settings)]


def renumbered(commit: RevisionCommit, number: int, offset: int) -> RevisionCommit:
    """Return a commit as another run takes it over: as its commit of a number, rounds moved up."""

    def moved(id: str) -> str:
        return ids.renumbered(id, offset)

    rows = [
        replace(
            row,
            id=moved(row.id),
            series_id=moved(row.series_id),
            instruction_id=moved(row.instruction_id),
            instance_id=None if row.instance_id is None else moved(row.instance_id),
            round=row.round + offset,
        )
        for row in commit.rows
    ]
    kept = {key: value for key, value in commit.info.items() if key != "checksums"}
    return RevisionCommit(number, {**kept, "taken_over": True}, rows)
