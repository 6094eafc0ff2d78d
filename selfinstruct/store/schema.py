"""Arrow schemas of a round's files; records to tables and back.

Columns are only ever added, and are nullable: a reader uses the columns that it knows.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.common.answered import AnswerCandidate
from selfinstruct.common.records import (
    CalibrationScore,
    Completion,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    Markers,
)
from selfinstruct.filters.rules import reasons
from selfinstruct.store.columns import Place
from selfinstruct.store.completion_columns import columns_of, completions_from
from selfinstruct.store.values import fields_of, read_values, records_of, table_of

SCHEMA_VERSION = 1

_INDEX_LIST = pa.list_(pa.int32())

COMPLETIONS = pa.schema(
    [
        ("id", pa.string()),
        ("stage", pa.string()),
        ("template", pa.string()),
        ("prompt", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("sampling", pa.string()),
        ("seed", pa.int64()),
        ("text", pa.string()),
        ("thinking", pa.string()),
        ("token_ids", _INDEX_LIST),
        ("token_logprobs", pa.list_(pa.float64())),
        ("token_starts", _INDEX_LIST),
        ("token_ends", _INDEX_LIST),
        ("finish_reason", pa.string()),
        ("num_prompt_tokens", pa.int32()),
        ("num_output_tokens", pa.int32()),
        ("error", pa.string()),
        ("about", pa.string()),
        ("reading", pa.string()),
        ("conversation", pa.string()),
    ]
)

INSTRUCTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("round", pa.int32()),
        ("completion_id", pa.string()),
        ("char_start", pa.int32()),
        ("char_end", pa.int32()),
        ("raw_text", pa.string()),
        ("text", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("is_classification", pa.bool_()),
        ("mean_logprob", pa.float64()),
        ("num_tokens", pa.int32()),
        ("unscored_reason", pa.string()),
        ("logprob_threshold", pa.float64()),
        ("novelty_tokenizer", pa.string()),
        ("rouge_l", pa.float64()),
        ("neighbour_id", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("threshold", pa.float64()),
        ("cut", pa.string()),
        ("template", pa.string()),
        ("source_id", pa.string()),
        ("operation", pa.string()),
        ("input", pa.string()),
        ("input_char_start", pa.int32()),
        ("input_char_end", pa.int32()),
        ("constraints", pa.string()),
        ("constraints_char_start", pa.int32()),
        ("constraints_char_end", pa.int32()),
    ]
)

INSTANCES = pa.schema(
    [
        ("id", pa.string()),
        ("instruction_id", pa.string()),
        ("round", pa.int32()),
        ("completion_id", pa.string()),
        ("input_char_start", pa.int32()),
        ("input_char_end", pa.int32()),
        ("output_char_start", pa.int32()),
        ("output_char_end", pa.int32()),
        ("input", pa.string()),
        ("output", pa.string()),
        ("input_logprob", pa.float64()),
        ("output_logprob", pa.float64()),
        ("mean_logprob", pa.float64()),
        ("num_tokens", pa.int32()),
        ("unscored_reason", pa.string()),
        ("kind", pa.string()),
        ("logprob_threshold", pa.float64()),
        ("conditional_gain", pa.float64()),
        ("gain_unscored_reason", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("threshold", pa.float64()),
        ("answer_to", pa.string()),
        ("cut", pa.string()),
        ("template", pa.string()),
        ("source_id", pa.string()),
        ("shown", pa.list_(pa.string())),
    ]
)

# What a commit of answers has beside them: how each was chosen.
ANSWER_COLUMNS = pa.schema(
    [
        ("final_answer", pa.string()),
        ("agreement", pa.float64()),
        ("votes", pa.int32()),
        ("hinted", pa.bool_()),
    ]
)
ANSWERS = pa.schema([*INSTANCES, *ANSWER_COLUMNS])

# The tables of a round that hold candidates, by the name of their file.
TABLES = {"instructions.parquet": INSTRUCTIONS, "instances.parquet": INSTANCES}

CALIBRATION = pa.schema(
    [
        ("from_round", pa.int32()),
        ("kind", pa.string()),
        ("seed_id", pa.string()),
        ("mean_logprob", pa.float64()),
        ("num_tokens", pa.int32()),
        ("unscored_reason", pa.string()),
    ]
)


def calibration_bytes(scores: Sequence[CalibrationScore]) -> bytes:
    """Return the content of a calibration.parquet."""
    buffer = io.BytesIO()
    table = table_of(fields_of(scores, CALIBRATION), CALIBRATION)
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_calibration(path: Path) -> list[CalibrationScore]:
    columns = read_values(path, CALIBRATION)
    columns["kind"] = list(map(Kind, columns["kind"]))
    return records_of(CalibrationScore, columns)


def write_completions(path: Path, completions: Sequence[Completion]) -> None:
    _write(path, table_of(columns_of(completions), COMPLETIONS))


def read_completions(
    path: Path, markers: Callable[[], Markers] = Markers, place: Place | None = None
) -> list[Completion]:
    """Read requests and completions; columns that older runs lack are filled in.

    Args:
        path: a completions.parquet.
        place: of the rows that are read, if not all are.
        markers: returns the marker words of the run's templates; called only if they decide how
            an older completion is read.
    """
    return completions_from(read_values(path, COMPLETIONS, place=place), markers)


def write_instructions(path: Path, candidates: Sequence[InstructionCandidate]) -> None:
    _write(path, table_of(fields_of(candidates, INSTRUCTIONS), INSTRUCTIONS))


def read_instructions(
    path: Path, ids: Collection[str] | None = None, place: Place | None = None
) -> list[InstructionCandidate]:
    """Read instructions: those with these ids, or all; `place`: of the rows to look at."""
    columns = read_values(path, INSTRUCTIONS, place, ("id", ids))
    return records_of(InstructionCandidate, _typed(columns))


def write_instances(path: Path, candidates: Sequence[InstanceCandidate]) -> None:
    _write(path, table_of(fields_of(candidates, INSTANCES), INSTANCES))


def read_instances(
    path: Path, instruction_ids: Collection[str] | None = None, place: Place | None = None
) -> list[InstanceCandidate]:
    """Read instances: those of these instructions, or all; `place`: of the rows to look at."""
    columns = read_values(path, INSTANCES, place, ("instruction_id", instruction_ids))
    return records_of(InstanceCandidate, _typed(columns))


def write_answers(path: Path, answers: Sequence[AnswerCandidate]) -> None:
    _write(path, table_of(fields_of(answers, ANSWERS), ANSWERS))


def read_answers(path: Path) -> list[AnswerCandidate]:
    """Read the answers of a commit; those of an older one have no agreement."""
    return records_of(AnswerCandidate, _typed(read_values(path, ANSWERS)))


def _write(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd")


def _typed(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the columns of candidates with the types of their fields."""
    unknown = {reason for reason in columns["reason"] if reason is not None} - reasons().keys()
    if unknown:
        raise ValueError(f"unknown reason {min(unknown)!r}")
    typed = dict(columns)
    if "kind" in columns:
        typed["kind"] = [None if kind is None else Kind(kind) for kind in columns["kind"]]
    if "parents" in columns:
        typed["parents"] = [tuple(parents or ()) for parents in columns["parents"]]
    if "shown" in columns:
        typed["shown"] = [None if shown is None else tuple(shown) for shown in columns["shown"]]
    return typed
