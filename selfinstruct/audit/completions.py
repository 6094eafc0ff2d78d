"""The requests behind a candidate: exact prompt, sampling parameters and completion."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from selfinstruct.common import ids
from selfinstruct.common.records import InstanceCandidate, Stage
from selfinstruct.decisions.lookup import Candidate
from selfinstruct.store import Run
from selfinstruct.store.commits import SUPPLEMENTS
from selfinstruct.store.layout import COMPLETIONS
from selfinstruct.store.recorded import damage

_COLUMNS = (
    *("id", "stage", "template", "prompt", "sampling", "seed", "text", "thinking"),
    *("finish_reason", "num_prompt_tokens", "num_output_tokens"),
)


@dataclass(frozen=True)
class Asked:
    """A request about a candidate: exact prompt, sampling parameters and completion.

    start, end: the span in `text` of an instruction, or of an instance's output; 0, 0 if it is in
        another completion.
    """

    id: str
    stage: str
    template: str
    prompt: str
    sampling: Mapping[str, Any]
    seed: int
    text: str
    thinking: str | None
    finish_reason: str
    num_prompt_tokens: int
    num_output_tokens: int
    start: int
    end: int


def asked_for(run: Run, candidate: Candidate) -> list[Asked]:
    """Return the completion that contains a candidate, and the later ones about an instruction.

    Raises:
        StoreError: a file of the run is damaged.
    """
    row = candidate.row
    request_ids = [row.completion_id]
    if isinstance(row, InstanceCandidate):
        span = (row.output_char_start, row.output_char_end)
    else:
        span = (row.char_start, row.char_end)
        request_ids += [ids.request(row.id, stage) for stage in (Stage.CLASSIFY, Stage.INSTANCES)]
    rounds = [] if run.is_import(row.round) else [run.committed(row.round, COMPLETIONS)]
    later = [SUPPLEMENTS.committed(run, n, COMPLETIONS) for n in SUPPLEMENTS.numbers(run)]
    spans = dict.fromkeys(request_ids, (0, 0)) | {row.completion_id: span}
    return asked_by_id([*rounds, *later], spans)


def asked_by_id(files: Sequence[Path], spans: Mapping[str, tuple[int, int]]) -> list[Asked]:
    """Return the requests of these ids that some commits have, in the order of the ids.

    Args:
        files: the completions of the commits.
        spans: by id, the span in the completion that is of interest.

    Raises:
        StoreError: a file of the run is damaged.
    """
    by_id: dict[str, dict[str, Any]] = {}
    for file in files:
        if len(by_id) < len(spans):
            by_id |= _read(file, spans)
    return [_asked(by_id[id], span) for id, span in spans.items() if id in by_id]


def _read(path: Path, request_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    with damage(path):
        table = pq.read_table(
            path, columns=list(_COLUMNS), filters=[("id", "in", list(request_ids))]
        )
        return {row["id"]: row for row in table.to_pylist()}


def _asked(row: Mapping[str, Any], span: tuple[int, int]) -> Asked:
    values = {**row, "sampling": json.loads(row["sampling"])}
    return Asked(**values, start=span[0], end=span[1])
