"""Arrow schemas of a round's files; records to tables and back.

Columns are only ever added, and are nullable: a reader uses the columns that it knows.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfinstruct.common import ids
from selfinstruct.common.records import (
    CalibrationScore,
    Completion,
    Conversation,
    Form,
    InstanceCandidate,
    InstructionCandidate,
    Kind,
    Markers,
    Message,
    Prompt,
    Reading,
    Request,
    Stage,
)
from selfinstruct.common.sampling import SamplingConfig
from selfinstruct.filters.rules import reasons
from selfinstruct.prompts.reading import recorded_reading
from selfinstruct.store.columns import Place, read_table

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
    pq.write_table(_table(scores, CALIBRATION), buffer, compression="zstd")
    return buffer.getvalue()


def read_calibration(path: Path) -> list[CalibrationScore]:
    rows = _read(path, CALIBRATION)
    return [CalibrationScore(**{**row, "kind": Kind(row["kind"])}) for row in rows]


def write_completions(path: Path, completions: Sequence[Completion]) -> None:
    columns = zip(*map(_completion_writer(), completions), strict=True)
    names = COMPLETIONS.names if completions else ()
    _write(path, _columns_table(dict(zip(names, columns, strict=True)), COMPLETIONS))


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
    words = cache(markers)
    return [_completion(row, words) for row in _read(path, COMPLETIONS, place=place)]


def write_instructions(path: Path, candidates: Sequence[InstructionCandidate]) -> None:
    _write(path, _table(candidates, INSTRUCTIONS))


def read_instructions(
    path: Path, ids: Collection[str] | None = None, place: Place | None = None
) -> list[InstructionCandidate]:
    """Read instructions: those with these ids, or all; `place`: of the rows to look at."""
    rows = _read(path, INSTRUCTIONS, "id", ids, place)
    return [InstructionCandidate(**_typed(row)) for row in rows]


def write_instances(path: Path, candidates: Sequence[InstanceCandidate]) -> None:
    _write(path, _table(candidates, INSTANCES))


def read_instances(
    path: Path, instruction_ids: Collection[str] | None = None, place: Place | None = None
) -> list[InstanceCandidate]:
    """Read instances: those of these instructions, or all; `place`: of the rows to look at."""
    rows = _read(path, INSTANCES, "instruction_id", instruction_ids, place)
    return [InstanceCandidate(**_typed(row)) for row in rows]


def _write(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd")


def _table(records: Sequence[Any], schema: pa.Schema) -> pa.Table:
    """Return records as a table: each column is a field of theirs."""
    return _columns_table(
        {name: list(map(attrgetter(name), records)) for name in schema.names}, schema
    )


def _columns_table(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Return a table of columns; one that is missing has no rows."""
    arrays = [pa.array(columns.get(field.name, ()), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _read(
    path: Path,
    schema: pa.Schema,
    key: str = "id",
    values: Collection[str] | None = None,
    place: Place | None = None,
) -> list[dict[str, Any]]:
    """Read the columns that a schema knows; with `values`, the rows whose `key` is among them."""
    stored = pq.read_schema(path)
    columns = [name for name in schema.names if name in stored.names]
    table = read_table(path, columns, place)
    if values is not None:
        table = table.filter(pc.is_in(table[key], pa.array(list(values), pa.string())))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    if row["reason"] is not None and row["reason"] not in reasons():
        raise ValueError(f"unknown reason {row['reason']!r}")
    if row.get("kind") is not None:
        row["kind"] = Kind(row["kind"])
    if "parents" in row:
        row["parents"] = tuple(row["parents"] or ())
    if row.get("shown") is not None:
        row["shown"] = tuple(row["shown"])
    return row


def _completion_writer() -> Callable[[Completion], tuple[Any, ...]]:
    """Return a function that returns a completion's columns, in the order of the schema.

    Most requests of a round share their sampling and their reading: each is written out once.
    """
    reading_text = cache(_reading_text)
    samplings: dict[int, str] = {}  # by id: the requests keep them while the round is written

    def sampling_text(sampling: SamplingConfig) -> str:
        if id(sampling) not in samplings:
            samplings[id(sampling)] = json.dumps(sampling.model_dump(), sort_keys=True)
        return samplings[id(sampling)]

    def columns(completion: Completion) -> tuple[Any, ...]:
        request = completion.request
        return (
            request.id,
            str(request.stage),
            request.template,
            _text_seen(completion),
            request.parents,
            sampling_text(request.sampling),
            request.seed,
            completion.text,
            completion.thinking,
            completion.token_ids,
            completion.token_logprobs,
            completion.token_starts,
            completion.token_ends,
            completion.finish_reason,
            completion.num_prompt_tokens,
            completion.num_output_tokens,
            completion.error,
            request.about,
            reading_text(request.reading),
            _conversation_text(request.prompt),
        )

    return columns


def _reading_text(reading: Reading) -> str:
    """Return a reading as JSON; what is about passages stands only in requests about them."""
    values = asdict(reading)
    kept = {key: values[key] for key in values if values[key] or key not in ("source", "given")}
    return json.dumps(kept, ensure_ascii=bool(not reading.given))


def _text_seen(completion: Completion) -> str | None:
    """Return the text that the model saw; if the engine does not say, a prompt that is a text."""
    prompt = completion.request.prompt
    return completion.prompt or (prompt if isinstance(prompt, str) else None)


def _conversation_text(prompt: Prompt) -> str | None:
    if isinstance(prompt, str):
        return None
    values = {name: getattr(prompt, name) for name in ("messages", "opened", "thinking")}
    return json.dumps(values, ensure_ascii=False)


def _completion(row: dict[str, Any], markers: Callable[[], Markers]) -> Completion:
    logprobs = row["token_logprobs"]
    stage = Stage(row["stage"])
    request = Request(
        id=row["id"],
        about=row.get("about") or ids.about(row["id"], stage),
        stage=stage,
        reading=_NO_READING,
        template=row["template"],
        prompt=_prompt(row),
        sampling=SamplingConfig(**json.loads(row["sampling"])),
        seed=row["seed"],
        parents=tuple(row["parents"] or ()),
        scored=tuple(row["token_ids"]) if stage is Stage.SCORE else None,
    )
    stored = row.get("reading")
    if stored:
        reading = _reading(stored)
    else:
        reading = recorded_reading(request, row["prompt"] or "", markers)
    request = replace(request, reading=reading)
    return Completion(
        request=request,
        text=row["text"],
        token_ids=tuple(row["token_ids"]),
        token_logprobs=None if logprobs is None else tuple(logprobs),
        token_starts=tuple(row["token_starts"]),
        token_ends=tuple(row["token_ends"]),
        finish_reason=row["finish_reason"],
        num_prompt_tokens=row["num_prompt_tokens"],
        thinking=row["thinking"],
        error=row["error"],
        prompt=row["prompt"],
        counted_tokens=0 if row["token_ids"] else row["num_output_tokens"],
    )


_NO_READING = Reading(Form.WHOLE)


def _reading(stored: str) -> Reading:
    values = json.loads(stored)
    return Reading(**{**values, "form": Form(values["form"])})


def _prompt(row: dict[str, Any]) -> Prompt:
    """Return the prompt: a conversation as requested, or the text that the model saw."""
    if not row.get("conversation"):
        return str(row["prompt"])
    values = json.loads(row["conversation"])
    messages = tuple(Message(role=m["role"], content=m["content"]) for m in values["messages"])
    return Conversation(messages, values["opened"], values["thinking"])
