"""Decide about a candidate of a run: each function checks, then writes one line."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from selfinstruct.common import ids
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import InstanceCandidate
from selfinstruct.decisions.decide_chats import check_chat_decision
from selfinstruct.decisions.lookup import Candidate, find
from selfinstruct.decisions.overrides import (
    Action,
    Override,
    Overrides,
    append_override,
    read_overrides,
)
from selfinstruct.decisions.standing import DROPPED, PENDING, Standing, stand
from selfinstruct.filters.outcomes import LACKS_INSTANCES, NO_INSTANCES, PARSE_FAILURE
from selfinstruct.store import Run


def restore(run: Run, id: str, *, by: str, note: str = "") -> Override:
    """Put a rejected candidate into the dataset, as the model wrote it.

    Raises:
        ConfigError: no such candidate; it is in the dataset already; or it cannot be alone
            (an instruction none of whose instances passed, an instance of a rejected one).
        WriteError: the disk refuses.
    """
    if ids.chat_of(id):
        check_chat_decision(run, id, Action.RESTORE)
    candidate, overrides = find(run, id), read_overrides(run)
    standing = stand(candidate.instruction, candidate.instances, overrides.current)
    if standing.outcome == PENDING and candidate.instance is None:
        raise ConfigError(
            f"{id}: is kept already, and waits for its instances; write them with: selfinstruct "
            f"complete {run.path}, or type one: audit edit {id} --output TEXT"
        )
    if _is_in(candidate, standing):
        how = "restored already" if id in overrides.current else "accepted"
        raise ConfigError(f"{id}: is {how}, and so in the dataset; there is nothing to restore")
    if candidate.instance is None:
        _check_restorable_task(candidate, standing, overrides)
    else:
        _check_restorable_instance(candidate.instance, candidate, overrides)
    return _decide(run, Override(id, Action.RESTORE, by, now(), note))


def drop(run: Run, id: str, *, by: str, note: str = "") -> Override:
    """Keep a candidate out of the dataset, or a conversation, or the end of one from a turn on.

    Raises:
        ConfigError: no such candidate, or it is not in the dataset.
        WriteError: the disk refuses.
    """
    if ids.chat_of(id):
        check_chat_decision(run, id, Action.DROP)
        return _decide(run, Override(id, Action.DROP, by, now(), note))
    candidate, overrides = find(run, id), read_overrides(run)
    standing = stand(candidate.instruction, candidate.instances, overrides.current)
    decision = overrides.current.get(id)
    if decision is not None and decision.action is Action.DROP:
        raise ConfigError(f"{id}: is dropped already; take that back with: audit undo")
    # A candidate that waits for its instances can be dropped before it is in the dataset.
    if not _is_in(candidate, standing):
        own = candidate.instance.reason if candidate.instance else None
        outcome = own or standing.outcome
        raise ConfigError(f"{id}: is not in the dataset ({outcome}); there is nothing to drop")
    return _decide(run, Override(id, Action.DROP, by, now(), note))


@dataclass(frozen=True, slots=True)
class Words:
    """A person's texts in place of the model's; None keeps a text as it is.

    `text` is for an instruction. An `output` (and an `input`) of an instruction replaces its
    instances, so it does not wait for any.
    """

    text: str | None = None
    input: str | None = None
    output: str | None = None


def edit(run: Run, id: str, words: Words, *, by: str, note: str = "") -> Override:
    """Replace the model's text in the dataset by a person's; the run keeps the model's.

    An edited candidate is in the dataset, whatever its verdict. An edit adds to the edit before it.

    Raises:
        ConfigError: no such candidate, nothing to change, an empty text or output.
        WriteError: the disk refuses.
    """
    if ids.chat_of(id):
        check_chat_decision(run, id, Action.EDIT)
    candidate, overrides = find(run, id), read_overrides(run)
    if words == Words():
        raise ConfigError(f"{id}: nothing to change; give --text, --input or --output")
    if candidate.instance is not None and words.text is not None:
        raise ConfigError(
            f"{id}: is an instance, which has no --text; edit {candidate.instruction.id} instead"
        )
    for name, value in (("--text", words.text), ("--output", words.output)):
        if value is not None and not value.strip():
            raise ConfigError(f"{id}: {name} is empty; write one, or drop the candidate")
    edited = Override(id, Action.EDIT, by, now(), note, words.text, words.input, words.output)
    entry = _with_earlier(edited, overrides)
    if candidate.instance is None and entry.input is not None and entry.output is None:
        raise ConfigError(
            f"{id}: --input needs an --output; to change that of an instance, name it: "
            f"{ids.instance(id, 0)}"
        )
    _check_text(candidate, entry)
    if candidate.instance is not None:
        _check_task_of(candidate, overrides)
    return _decide(run, entry)


def undo(run: Run, id: str, *, by: str, note: str = "") -> Override:
    """Take back the last decision about a candidate.

    Raises:
        ConfigError: there is none.
        WriteError: the disk refuses.
    """
    if ids.chat_of(id):
        check_chat_decision(run, id, Action.UNDO)
        return _decide(run, Override(id, Action.UNDO, by, now(), note))
    find(run, id)
    if id not in read_overrides(run).current:
        raise ConfigError(f"{id}: nobody has decided anything about it; there is nothing to undo")
    return _decide(run, Override(id, Action.UNDO, by, now(), note))


def now() -> str:
    """Return the time in the form of journals: UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _decide(run: Run, entry: Override) -> Override:
    if not entry.by.strip():
        raise ConfigError("the author has no name; give --by NAME")
    append_override(run, entry)
    return entry


def _is_in(candidate: Candidate, standing: Standing) -> bool:
    """Whether it is in the dataset, or only waits for its instances."""
    if candidate.instance is None:
        return standing.is_kept
    return any(row.id == candidate.instance.id for row in standing.instances)


def _check_restorable_task(candidate: Candidate, standing: Standing, overrides: Overrides) -> None:
    task, own = candidate.instruction, overrides.current.get(candidate.instruction.id)
    dropped = [
        id
        for id in (task.id, *(row.id for row in candidate.instances))
        if (decision := overrides.current.get(id)) and decision.action is Action.DROP
    ]
    waits = task.reason in LACKS_INSTANCES
    if dropped and (own is None or waits):
        raise ConfigError(f"{task.id}: {dropped[0]} is dropped; take that back with: audit undo")
    if standing.outcome == NO_INSTANCES.reason:
        first = next((row.id for row in candidate.instances if row.output.strip()), None)
        other = f"restore one of them ({first}), or " if first else ""
        raise ConfigError(
            f"{task.id}: passed, but none of its instances did; {other}type one: audit edit "
            f"{task.id} --output TEXT"
        )
    if task.reason == PARSE_FAILURE.reason:
        raise ConfigError(
            f"{task.id}: holds no instruction; write one: audit edit {task.id} --text TEXT"
        )


def _check_restorable_instance(
    instance: InstanceCandidate, candidate: Candidate, overrides: Overrides
) -> None:
    _check_task_of(candidate, overrides)
    if not instance.output.strip():
        raise ConfigError(
            f"{instance.id}: has no output; type one: audit edit {instance.id} --output TEXT"
        )


def _check_task_of(candidate: Candidate, overrides: Overrides) -> None:
    """Refuse an instance whose instruction has neither passed nor been restored."""
    task = candidate.instruction
    decision = overrides.current.get(task.id)
    if decision is None:
        passed = {None, *LACKS_INSTANCES}
        is_wanted, outcome = task.reason in passed, str(task.reason)
    else:
        is_wanted, outcome = decision.action is not Action.DROP, DROPPED
    if not is_wanted:
        raise ConfigError(
            f"{candidate.row.id}: its instruction is not in the dataset ({outcome}); "
            f"restore {task.id} first"
        )


def _with_earlier(entry: Override, overrides: Overrides) -> Override:
    """Return an edit with the changes of earlier edits, so that the last one is complete."""
    before = overrides.current.get(entry.id)
    if before is None or before.action is not Action.EDIT:
        return entry
    changes = {name: getattr(before, name) for name in ("text", "input", "output")}
    newer = {name: value for name in changes if (value := getattr(entry, name)) is not None}
    return replace(entry, **{**changes, **newer})


def _check_text(candidate: Candidate, entry: Override) -> None:
    """Refuse an incomplete edit of a candidate that was not parsed: it has no text of its own."""
    if isinstance(candidate.row, InstanceCandidate):
        if entry.output is None and not candidate.row.output.strip():
            raise ConfigError(f"{entry.id}: has no output; give one with --output")
    elif candidate.row.reason == PARSE_FAILURE.reason and entry.text is None:
        raise ConfigError(f"{entry.id}: holds no instruction; give one with --text")
