"""The folder of preferences. Work is committed batch by batch; a resumed command does the rest.

preferences.json       the settings; written first
answers/00000.parquet  answers of the policy, with its own scores if it gives them
votes/00000.parquet    a judge's votes on two answers
train.parquet          pairs in TRL's explicit preference format
held_out.parquet       the same, of prompts that are not trained on
labelled.parquet       all answers with the labeller's scores, including unusable ones
.checksums.json        of the files above, but for the batches
report.json            counts and lengths; written last, so it marks a finished folder
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selfinstruct.common import atomic
from selfinstruct.common.atomic import refusal
from selfinstruct.common.errors import ConfigError, StoreError, why
from selfinstruct.common.records import Message
from selfinstruct.common.texts import shown
from selfinstruct.inputs.own_folders import LABELLED, REPORT, SETTINGS, write_checksums
from selfinstruct.labellers.base import ScoredAnswer, Vote
from selfinstruct.preferences.pairs import Pair

ANSWERS, VOTES = "answers", "votes"

_TURNS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_SCHEMAS = {
    ANSWERS: pa.schema(
        [
            ("id", pa.string()),
            ("prompt_id", pa.string()),
            ("text", pa.string()),
            ("num_tokens", pa.int32()),
            ("finished", pa.bool_()),
            ("source", pa.string()),
            ("score", pa.float64()),
            ("contrast", pa.float64()),
        ]
    ),
    VOTES: pa.schema(
        [
            ("prompt_id", pa.string()),
            ("first", pa.string()),
            ("second", pa.string()),
            ("preference", pa.float64()),
            ("margin", pa.float64()),
        ]
    ),
}
_LABELLED = pa.schema(
    [*_SCHEMAS[ANSWERS], ("prompt", _TURNS), ("usable", pa.bool_()), ("held_out", pa.bool_())]
)
_PAIRS = pa.schema(
    [
        ("prompt", _TURNS),
        ("chosen", _TURNS),
        ("rejected", _TURNS),
        ("chosen_score", pa.float64()),
        ("rejected_score", pa.float64()),
        ("margin", pa.float64()),
        ("labeller", pa.string()),
        ("prompt_id", pa.string()),
        ("chosen_id", pa.string()),
        ("rejected_id", pa.string()),
        ("policy", pa.string()),
        ("run", pa.string()),
    ]
)


def open_folder(out: Path, settings: Mapping[str, Any], *, resume: bool) -> bool:
    """Start a folder or continue it; return whether it is finished.

    Raises:
        ConfigError: it holds something else, or preferences by other settings.
    """
    path = out / SETTINGS
    if not path.is_file():
        others = [entry.name for entry in out.iterdir() if not entry.name.startswith(".")]
        if others:
            raise ConfigError(f"{out}: holds other files ({others[0]}); give another --out")
        with refusal(path):
            atomic.write_json(path, dict(settings))
        return False
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: is damaged ({why(error)}); give another --out") from error
    for key in sorted(known.keys() | settings.keys()):
        if known.get(key) != settings.get(key):
            raise ConfigError(
                f"{out}: was made with {key} {shown(known.get(key))}, not "
                f"{shown(settings.get(key))}; "
                "give the same, or another --out"
            )
    done = (out / REPORT).is_file()
    if not done and not resume:
        raise ConfigError(f"{out}: was begun and not finished; --resume continues it")
    return done


def commit_rows(out: Path, kind: str, rows: Iterable[ScoredAnswer | Vote]) -> None:
    """Write the next batch of a kind; once this returns it is on disk for good.

    Raises:
        WriteError: the disk refuses; earlier batches stay.
    """
    folder = out / kind
    with refusal(folder):
        folder.mkdir(exist_ok=True)
        number = max((int(batch.stem) for batch in _batches(out, kind)), default=-1) + 1
        path = folder / f"{number:05d}.parquet"
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMAS[kind])
        atomic.write_bytes(path, _bytes(table))


def read_scored(out: Path) -> list[ScoredAnswer]:
    """Return all committed answers, in the order of their commits."""
    return [ScoredAnswer(**row) for row in _rows(out, ANSWERS)]


def read_votes(out: Path) -> list[Vote]:
    """Return all committed votes."""
    return [Vote(**row) for row in _rows(out, VOTES)]


def write_pairs(
    out: Path,
    name: str,
    pairs: Sequence[Pair],
    turns_of: Mapping[str, Sequence[Message]],
    lineage: Mapping[str, str],
) -> None:
    """Write pairs in TRL's explicit preference format, as conversations.

    Args:
        out: the folder.
        name: TRAIN or HELD_OUT.
        pairs: what to write.
        turns_of: what is answered, by prompt.
        lineage: `labeller`, `policy` and `run`, the same for all.
    """
    rows = [
        {
            "prompt": [dict(turn) for turn in turns_of[pair.prompt_id]],
            "chosen": [{"role": "assistant", "content": pair.chosen.text}],
            "rejected": [{"role": "assistant", "content": pair.rejected.text}],
            "chosen_score": pair.chosen.score,
            "rejected_score": pair.rejected.score,
            "margin": pair.margin,
            "prompt_id": pair.prompt_id,
            "chosen_id": pair.chosen.id,
            "rejected_id": pair.rejected.id,
            **lineage,
        }
        for pair in pairs
    ]
    with refusal(out / name):
        atomic.write_bytes(out / name, _bytes(pa.Table.from_pylist(rows, schema=_PAIRS)))


def write_labelled(
    out: Path,
    answers: Sequence[ScoredAnswer],
    usable: Collection[str],
    prompts: Mapping[str, tuple[Sequence[Message], bool]],
) -> None:
    """Write all answers with the labeller's scores.

    Args:
        out: the folder.
        answers: of all prompts.
        usable: ids of answers to learn from: finished, not empty, not repeated, scored.
        prompts: by id: what is answered, and whether the prompt is held out.
    """
    rows = [
        {
            **asdict(answer),
            "prompt": [dict(turn) for turn in prompts[answer.prompt_id][0]],
            "usable": answer.id in usable,
            "held_out": prompts[answer.prompt_id][1],
        }
        for answer in answers
    ]
    with refusal(out / LABELLED):
        table = pa.Table.from_pylist(rows, schema=_LABELLED)
        atomic.write_bytes(out / LABELLED, _bytes(table))


def write_report(out: Path, report: Mapping[str, Any]) -> None:
    """Write the checksums, and the report, which marks the folder as finished."""
    with refusal(out / REPORT):
        write_checksums(out)
        atomic.write_json(out / REPORT, dict(report))


def _rows(out: Path, kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in _batches(out, kind):
        try:
            rows += pq.read_table(path, schema=_SCHEMAS[kind]).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"{path}: is damaged ({why(error)}); delete it, and --resume writes it again"
            ) from error
    return rows


def _batches(out: Path, kind: str) -> list[Path]:
    folder = out / kind
    return sorted(folder.glob("[0-9]*.parquet")) if folder.is_dir() else []


def _bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
