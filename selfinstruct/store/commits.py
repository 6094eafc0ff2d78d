"""Commits beside the rounds of a run: one list of their kinds, one protocol for all of them.

    answers/00000/           answers of another model to the tasks of the run (`answer`)
      completions.parquet    every request and completion
      instances.parquet      every answer as an instance; `answer_to` is the instance it answers
                             (with columns of its own: common/answered.py)
      answers.json           model, settings, counts by reason, tokens, seconds, checksums
    supplements/00000/       instances of instructions that lacked them (`complete`)
      completions.parquet    every request and completion
      instructions.parquet   the instructions as they stand now: accepted, or no_instances
      instances.parquet      their instances, with verdicts
      supplements.json       last round that the model had written, restored instructions, counts,
                             tokens, seconds, checksums
    conversations/00000/     self-chats that tasks of the run open (`converse`)
      completions.parquet    every request and completion
      conversations.parquet  the self-chats, with verdicts
      turns.parquet          all their turns, with verdicts
      conversations.json     model, settings, prompts, counts by reason, tokens, seconds, checksums
    judgements/00000/        what a judge says of the instances of the run (`audit judge`)
      completions.parquet    every request and completion
      judgements.parquet     the scores, with the judge's answers and reasons
      judgements.json        model, rubric, tokens, seconds, checksums
    revisions/00000/         answers that a model criticised by principles and rewrote (`revise`)
      completions.parquet    every request and completion
      revisions.parquet      the drafts, and all their revisions, with verdicts
      revisions.json         model, settings with the principles, prompts, counts by reason, tokens,
                             seconds, checksums

A commit is written as answers/.00000.tmp and renamed, like a round; its JSON has the checksums of
its other files. Rounds are never rewritten: a supplement's row replaces the pending row with the
same id in its round (supplements.py). If a person restored the instruction, the row in its round
stays, and only code that applies the overrides uses the supplement's instances (decisions/view.py).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfinstruct.common import atomic
from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.atomic import refusal
from selfinstruct.common.chats import ChatTurn, SelfChat
from selfinstruct.common.errors import StoreError
from selfinstruct.common.judged import Judgement
from selfinstruct.common.records import (
    Completion,
    InstanceCandidate,
    InstructionCandidate,
)
from selfinstruct.common.revisions import Revision
from selfinstruct.store import chat_tables, judgement_table, revision_table, schema
from selfinstruct.store.heads import check_head, head, raise_heads, uncounted, write_head
from selfinstruct.store.layout import (
    CHATS,
    COMPLETIONS,
    INSTANCES,
    INSTRUCTIONS,
    JUDGEMENTS,
    REVISIONS,
    ROUNDS,
    TURNS,
)
from selfinstruct.store.recorded import check_files, check_version, checksums_of, damage
from selfinstruct.store.run import Run
from selfinstruct.store.sealed import (
    PREVIOUS,
    check_chain,
    check_names,
    check_seal,
    checked,
    commit_name,
    link,
    numbered,
    read_json,
    seal,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Commit:
    """One commit; `info` is the content of its JSON.

    instructions, instances, chats, turns, judgements, revisions: empty for a kind that has none.
    """

    completions: Sequence[Completion]
    instructions: Sequence[InstructionCandidate]
    instances: Sequence[InstanceCandidate]
    info: Mapping[str, Any]
    chats: Sequence[SelfChat] = ()
    turns: Sequence[ChatTurn] = ()
    judgements: Sequence[Judgement] = ()
    revisions: Sequence[Revision] = ()

    @property
    def restored(self) -> dict[str, str]:
        """Instructions that a person restored, by id, with the text that the instances are for.

        Supplements that are older than overrides have none.
        """
        return dict(self.info.get("restored", {}))


@dataclass(frozen=True)
class CommitKind:
    """A kind of commits.

    name: of their folder in the run, and of the JSON of each.
    required: keys that the JSON must have, with their types.
    model_keys: keys that `model` in the JSON must have.
    has_instructions: whether there is an instructions.parquet.
    has_chats: whether there are conversations.parquet and turns.parquet, and no instances.parquet.
    has_judgements: whether there is a judgements.parquet, and no instances.parquet.
    has_answers: whether its instances are answers, with the columns of one.
    has_revisions: whether there is a revisions.parquet, and no instances.parquet.
    """

    name: str
    required: Mapping[str, type]
    model_keys: frozenset[str] = frozenset()
    has_instructions: bool = False
    has_chats: bool = False
    has_answers: bool = False
    has_judgements: bool = False
    has_revisions: bool = False

    def numbers(self, run: Run) -> list[int]:
        """Return the numbers of the commits of a run, from 0 without a gap.

        Raises:
            StoreError: one is missing.
        """
        known = head(run.path, self.name)
        numbers = numbered(run.path / self.name)
        if numbers != list(range(len(numbers))):
            missing = min(set(range(len(numbers))) - set(numbers))
            raise StoreError(
                f"{self.path(run, missing)}: is missing, later ones exist; restore it from a backup"
            )
        check_head(run.path, self.name, known, len(numbers))
        return numbers

    @property
    def files(self) -> tuple[str, ...]:
        """The files of a commit beside its JSON."""
        if self.has_chats:
            return COMPLETIONS, CHATS, TURNS
        if self.has_judgements:
            return COMPLETIONS, JUDGEMENTS
        if self.has_revisions:
            return COMPLETIONS, REVISIONS
        return (COMPLETIONS, *((INSTRUCTIONS,) if self.has_instructions else ()), INSTANCES)

    @property
    def about_file(self) -> str:
        """The file whose rows say what instructions a commit is about."""
        if self.has_chats:
            return CHATS
        if self.has_judgements:
            return JUDGEMENTS
        return REVISIONS if self.has_revisions else INSTANCES

    def next_number(self, run: Run) -> int:
        """Return the number of the next commit."""
        return len(self.numbers(run))

    def path(self, run: Run, number: int) -> Path:
        """Return the folder of a commit."""
        return run.path / self.name / commit_name(number)

    def info_path(self, run: Run, number: int) -> Path:
        """Return the JSON of a commit."""
        return self.path(run, number) / f"{self.name}.json"

    def info(self, run: Run, number: int, also: Mapping[str, type] | None = None) -> dict[str, Any]:
        """Return the content of a commit's JSON.

        Args:
            run: the run.
            number: of the commit.
            also: more keys that it must have, with their types.

        Raises:
            StoreError: it is damaged, newer than this code, or lacks a required key.
        """
        path = self.info_path(run, number)
        info: dict[str, Any] = read_json(path)
        check_version(info, path)
        keys = {"checksums": dict, **self.required, **(also or {})}
        wrong = [key for key, type in keys.items() if not isinstance(info.get(key), type)]
        if wrong:
            names = ", ".join(wrong)
            raise StoreError(f"{path}: is damaged (no valid {names}); restore it from a backup")
        check_names(info, path, self.files)
        check_seal(info, path)
        check_chain(info, path, self._before(run, number), run.meta.get("fingerprint"))
        if self.model_keys and not self.model_keys <= info["model"].keys():
            raise StoreError(f"{path}: is damaged (no valid model); restore it from a backup")
        return info

    def verify(self, run: Run) -> None:
        """Compare every file of every commit with its checksum.

        Raises:
            StoreError: a file differs; names the first.
        """
        for number in self.numbers(run):
            check_files(self.path(run, number), self.info(run, number))

    def _before(self, run: Run, number: int) -> Path | None:
        """Return the JSON of the commit before one."""
        return self.info_path(run, number - 1) if number else None

    def committed(self, run: Run, number: int, name: str) -> Path:
        """Return a file of a commit, whose content is what was committed.

        Raises:
            StoreError: it is missing, or was changed.
        """
        return checked(self.path(run, number) / name, self.info(run, number)["checksums"])

    def read_completions(self, run: Run, number: int) -> list[Completion]:
        """Return the requests and completions of a commit."""
        path = self.committed(run, number, COMPLETIONS)
        with damage(path):
            return schema.read_completions(path, run.markers)

    def read_instructions(self, run: Run, number: int) -> list[InstructionCandidate]:
        """Return the instructions of a commit."""
        path = self.committed(run, number, INSTRUCTIONS)
        with damage(path):
            return schema.read_instructions(path)

    def read_instances(self, run: Run, number: int) -> list[InstanceCandidate]:
        """Return the instances of a commit, with their verdicts."""
        path = self.committed(run, number, INSTANCES)
        with damage(path):
            return schema.read_instances(path)

    def read_answers(self, run: Run, number: int) -> list[AnswerCandidate]:
        """Return the answers of a commit, with their verdicts."""
        path = self.committed(run, number, INSTANCES)
        with damage(path):
            return schema.read_answers(path)

    def read_chats(self, run: Run, number: int) -> list[SelfChat]:
        """Return the self-chats of a commit, with their verdicts."""
        path = self.committed(run, number, CHATS)
        with damage(path):
            return chat_tables.read_chats(path)

    def read_turns(self, run: Run, number: int) -> list[ChatTurn]:
        """Return the turns of a commit's self-chats, with their verdicts."""
        path = self.committed(run, number, TURNS)
        with damage(path):
            return chat_tables.read_turns(path)

    def read_judgements(self, run: Run, number: int) -> list[Judgement]:
        """Return the judgements of a commit."""
        path = self.committed(run, number, JUDGEMENTS)
        with damage(path):
            return judgement_table.read_judgements(path)

    def read_revisions(self, run: Run, number: int) -> list[Revision]:
        """Return the drafts and revisions of a commit, with their verdicts."""
        path = self.committed(run, number, REVISIONS)
        with damage(path):
            return revision_table.read_revisions(path)

    def commit(self, run: Run, commit: Commit) -> None:
        """Write the next commit; once this returns it is on disk for good.

        Raises:
            WriteError: the disk refuses.
        """
        number = self.next_number(run)
        target = self.path(run, number)
        work = target.with_name(f".{target.name}.tmp")
        with refusal(target):
            if work.exists():
                log.warning(
                    "discarding the unfinished %s/%s; it will be written again",
                    self.name,
                    work.name,
                )
                shutil.rmtree(work)
            work.mkdir(parents=True)
            schema.write_completions(work / COMPLETIONS, commit.completions)
            if self.has_instructions:
                schema.write_instructions(work / INSTRUCTIONS, commit.instructions)
            self._write_rows(work, commit)
            info = seal(
                {
                    **commit.info,
                    "schema_version": schema.SCHEMA_VERSION,
                    "checksums": checksums_of(work),
                    PREVIOUS: link(self._before(run, number), run.meta.get("fingerprint")),
                }
            )
            atomic.write_json(work / f"{self.name}.json", info)
            atomic.commit_folder(work, target)
            write_head(run.path, self.name, number + 1)

    def _write_rows(self, work: Path, commit: Commit) -> None:
        """Write the tables of the kind, beside the completions and instructions."""
        if self.has_chats:
            chat_tables.write_chats(work / CHATS, commit.chats)
            chat_tables.write_turns(work / TURNS, commit.turns)
        elif self.has_judgements:
            judgement_table.write_judgements(work / JUDGEMENTS, commit.judgements)
        elif self.has_answers:
            answers = [row for row in commit.instances if isinstance(row, AnswerCandidate)]
            schema.write_answers(work / INSTANCES, answers)
        elif self.has_revisions:
            revision_table.write_revisions(work / REVISIONS, commit.revisions)
        else:
            schema.write_instances(work / INSTANCES, commit.instances)


ANSWERS = CommitKind(
    "answers",
    {"model": dict, "answers": dict},
    frozenset({"name", "digest", "prompting"}),
    has_answers=True,
)
SUPPLEMENTS = CommitKind(
    "supplements", {"last_round": int, "instructions": dict}, has_instructions=True
)
CONVERSATIONS = CommitKind(
    "conversations",
    {"model": dict, "settings": dict, "conversations": dict, "turns": dict},
    frozenset({"name", "digest", "prompting"}),
    has_chats=True,
)
JUDGED = CommitKind(
    "judgements",
    {"model": dict, "rubric": str, "version": int},
    frozenset({"name", "digest", "prompting"}),
    has_judgements=True,
)
REVISED = CommitKind(
    "revisions",
    {"model": dict, "settings": dict, "prompts": dict, "drafts": dict, "revisions": dict},
    frozenset({"name", "digest", "prompting"}),
    has_revisions=True,
)
KINDS = (ANSWERS, SUPPLEMENTS, CONVERSATIONS, JUDGED, REVISED)


def count_commits(run: Run) -> None:
    """Count the commits of a run that a killed process left uncounted: before more are written.

    Raises:
        StoreError: a commit is missing.
        WriteError: the disk refuses.
    """
    raise_heads(run.path, _found(run))


def has_uncounted(run: Run) -> bool:
    """Whether a killed process left a commit uncounted.

    Raises:
        StoreError: a commit is missing.
    """
    return bool(uncounted(run.path, _found(run)))


def _found(run: Run) -> dict[str, int]:
    """Return how many commits of each kind a run has."""
    found = {kind.name: len(kind.numbers(run)) for kind in KINDS}
    return {ROUNDS: len(run.rounds()), **found}
