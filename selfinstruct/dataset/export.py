"""Run -> training files that `datasets.load_dataset` and TRL read as they are.

The rows are those of the run as it stands: people's decisions (`audit restore`, `drop`, `edit`)
are applied.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from selfinstruct.common import atomic, ids
from selfinstruct.common.atomic import refusal_of
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import install_line
from selfinstruct.dataset.chosen_answers import NO_LIMITS, AnswerLimits
from selfinstruct.dataset.formats import PAIRS, Format, Whole
from selfinstruct.dataset.reasoning import with_reasoning
from selfinstruct.dataset.rows import Answers, ExportRow, export_rows
from selfinstruct.dataset.select import (
    EVERYTHING,
    Selection,
    selected,
    with_plain_controls,
    with_system,
)
from selfinstruct.decisions.overrides import refuse_damaged
from selfinstruct.filters.revisions import is_unchanged
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.store import Run
from selfinstruct.store.commits import CONVERSATIONS, KINDS
from selfinstruct.store.layout import OWN

if TYPE_CHECKING:
    from datasets import Dataset

# What an export of only these answers lacks where there are none, and the options that write them.
_ASKED_BY = {
    Answers.TEACHER: ("of a teacher", "--model TEACHER"),
    Answers.VOTES: ("by votes", "--model MODEL --votes 8"),
    Answers.RATIONALES: ("with rationales", "--model MODEL --rationale"),
}


def export(
    run: Run,
    format: Format,
    out: Path,
    answers: Answers = Answers.OWN,
    *,
    reasoning: bool = False,
    selection: Selection = EVERYTHING,
) -> int:
    """Write the dataset of a run to a file, whole or not at all; return the number of rows.

    Args:
        run: the run.
        format: how a row is written.
        out: the file.
        answers: whose outputs.
        reasoning: write what the model thought before its outputs too.
        selection: which rows, their system prompt, and whether self-chats are whole.

    Raises:
        ConfigError: the run holds no task yet, none that was selected, no reasoning or conversation
            that was asked for, or the file cannot be written.
        WriteError: the disk is full or broken.
    """
    content = ExportContent(run, format, answers, reasoning=reasoning, selection=selection)
    write_export(run, out, content)
    return content.rows


class ExportContent:
    """The content of an export's file, in parts: the rows are read as they are written.

    Raises:
        ConfigError: as `export`, while the parts are read: the last of them may not come.

    Attributes:
        rows: how many were written so far.
        digest: SHA-256 of what was written so far, in hex.
    """

    def __init__(
        self,
        run: Run,
        format: Format,
        answers: Answers = Answers.OWN,
        *,
        reasoning: bool = False,
        selection: Selection = EVERYTHING,
    ) -> None:
        self.rows = 0
        self._hash = hashlib.sha256()
        self._run, self._format, self._answers = run, format, answers
        self._reasoning, self._selection = reasoning, selection
        self._whole = holds_conversations(format, answers, selection.conversations)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        # Without self-chats no row has later turns, and the rows are read once.
        may_have_turns = self._whole and bool(CONVERSATIONS.numbers(self._run))
        with_turns = may_have_turns and any(row.turns for row in self._rows())
        self.rows, self._hash = 0, hashlib.sha256()
        prompts = stored_inputs(self._run).prompts
        content = PAIRS if self._selection.pairs else self._format.content
        for part in content(self._counted(), prompts, with_turns):
            self._hash.update(part)
            yield part

    def _counted(self) -> Iterator[ExportRow]:
        for row in self._rows():
            self.rows += 1
            yield row

    def _rows(self) -> Iterator[ExportRow]:
        run, selection = self._run, self._selection
        rows: Iterable[ExportRow] = _rows_to_export(
            run, self._answers, selection, whole=self._whole
        )
        if selection.pairs:
            rows = (row for row in rows if not is_unchanged(row.output, row.draft or ""))
        rows = selected(run, rows, self._answers, selection)
        if selection.plain_controls:
            rows = with_plain_controls(rows)
        if self._reasoning:
            rows = with_reasoning(run, rows)
        if selection.system is not None:
            rows = with_system(rows, selection.system)
        return iter(rows)


def write_export(
    run: Run, out: Path, content: Iterable[bytes], record: Callable[[], object] = lambda: None
) -> None:
    """Write an export's file, whole or not at all.

    Args:
        run: the run.
        out: the file.
        content: of the file, in parts.
        record: called when all but the last step is done.

    Raises:
        ConfigError: the file cannot be written there.
        WriteError: the disk is full or broken.
    """
    refuse_own_files(run, out)
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; give the file to write, such as {out}/train.jsonl")
    with refusal_of(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(out, content):
            record()


def count_teachers(run: Run, answers: Answers, limits: AnswerLimits = NO_LIMITS) -> int:
    """Return how many rows of an export have another output than the run's own."""
    if answers is Answers.OWN:
        return 0
    is_other = ids.is_revision if answers.are_revised else ids.is_answer
    return sum(is_other(row.id) for row in export_rows(run, answers, limits=limits))


def to_dataset(run: Run, format: Format, answers: Answers = Answers.OWN) -> Dataset:
    """Return the rows that `export` would write, as a `datasets.Dataset`.

    Raises:
        ConfigError: the run holds no task yet, or `datasets` is not installed.
    """
    try:
        from datasets import Dataset
    except ImportError as error:
        raise ConfigError(
            f"to_dataset() needs the datasets package: {install_line('datasets')}"
        ) from error
    content = b"".join(ExportContent(run, format, answers))
    if format.suffix == "parquet":
        return Dataset(pq.read_table(io.BytesIO(content)))
    return Dataset.from_list([json.loads(line) for line in io.BytesIO(content)])


def holds_conversations(format: Format, answers: Answers, wanted: bool | None) -> bool:
    """Whether an export writes whole self-chats.

    Args:
        format: of the file.
        answers: whose outputs.
        wanted: what the user asked for; None: where the format does so unasked.

    Raises:
        ConfigError: they are asked for, and it cannot be done.
    """
    if wanted and format.conversations is Whole.NEVER:
        able = " or ".join(one for one in Format if one.conversations is not Whole.NEVER)
        raise ConfigError(
            f"--conversations: a row of the format {format} holds one exchange; "
            f"give --format {able}"
        )
    if wanted and answers is not Answers.OWN:
        raise ConfigError(
            f"--conversations: they carry on the run's own outputs, and not --answers {answers}; "
            "leave one of the two out"
        )
    unasked = format.conversations is Whole.ALWAYS and wanted is None
    return bool(wanted or unasked) and answers is Answers.OWN


def count_conversations(run: Run) -> int:
    """Return how many tasks of a run stand as conversations.

    Raises:
        StoreError: a file of the run is damaged.
    """
    if not CONVERSATIONS.numbers(run):
        return 0
    return sum(bool(row.turns) for row in export_rows(run, conversations=True))


def _rows_to_export(
    run: Run, answers: Answers, selection: Selection, *, whole: bool
) -> Iterator[ExportRow]:
    """Yield the dataset of a run.

    Args:
        run: the run.
        answers: whose outputs.
        selection: what the user asked for.
        whole: carry on the rows that open a self-chat by it.

    Raises:
        ConfigError: it is empty, or holds no conversation that was asked for; after the last row.
    """
    with_nulls = stored_config(run).export_nulls
    is_empty, has_turns = True, False
    for row in export_rows(run, answers, conversations=whole, limits=selection.limits):
        is_empty, has_turns = False, has_turns or bool(row.turns)
        yield _with_nulls(row) if with_nulls else row
    if not is_empty and selection.conversations and not has_turns:
        raise ConfigError(
            f"{run.path}: has no accepted conversation; write some with: selfinstruct converse "
            f"{run.path}"
        )
    if is_empty and answers is Answers.REVISION:
        raise ConfigError(
            f"{run.path}: has no accepted revision; write some with: selfinstruct revise {run.path}"
        )
    if is_empty and answers in _ASKED_BY and any(True for _ in export_rows(run)):
        what, how = _ASKED_BY[answers]
        raise ConfigError(
            f"{run.path}: has no accepted answers {what}; "
            f"write some with: selfinstruct answer {run.path} {how}"
        )
    if is_empty:
        raise ConfigError(f"{run.path}: holds no accepted task yet; generate some first")


def _with_nulls(row: ExportRow) -> ExportRow:
    """Return a row as readers of tables expect it: null for a score that could not be computed."""
    scores = ("mean_logprob", "rouge_l")
    unknown: dict[str, Any] = {name: None for name in scores if math.isnan(getattr(row, name))}
    return replace(row, **unknown) if unknown else row


def refuse_damaged_decisions(run: Run) -> None:
    """Refuse to export a run of which decisions are lost or cannot be read.

    Raises:
        StoreError: it is so; names file and line.
    """
    refuse_damaged(run, "repair it, or export with --ignore-damaged-decisions")


def refuse_own_files(run: Run, out: Path) -> None:
    """Refuse to overwrite the run's own files; an export may lie beside them in its folder.

    Raises:
        ConfigError: the file is one of the run's.
    """
    folder, target = run.path.resolve(), out.resolve()
    inside = target.is_relative_to(folder) and target != folder
    own = OWN | {kind.name for kind in KINDS}
    if inside and target.relative_to(folder).parts[0] in own:
        raise ConfigError(f"{out}: is a part of the run itself; give another --out")
