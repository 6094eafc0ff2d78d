"""Find candidates of a run: filtered, sorted, a page at a time.

Nothing is loaded or indexed beforehand: DuckDB reads the columns that a question needs from
the Parquet files of the rounds, so that a run can be searched while it grows. What a page
shows is then read from the few rounds that its rows stand in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.store import Run


@dataclass(frozen=True, slots=True)
class Filter:
    """Which candidates are wanted; None, or nothing, leaves them all.

    table: `instructions` or `instances`.
    verdict: `accepted` or `rejected`, as recorded.
    reason: a reason of rejection, as recorded.
    round: number of a round.
    min_rouge, max_rouge: of `rouge_l` (instructions), ends included; NaN is in no range.
    min_logprob, max_logprob: of `mean_logprob`, nats per token, likewise.
    min_tokens, max_tokens: of `num_tokens`, likewise.
    text: anywhere in raw or clean text, input or output, whatever its case.
    instruction_id: only instances of this instruction.
    parent: only instructions whose proposal showed this pool id (its children).
    overridden: only those with (True) or without (False) a person's decision.
    """

    table: str = "instructions"
    verdict: str | None = None
    reason: str | None = None
    round: int | None = None
    min_rouge: float | None = None
    max_rouge: float | None = None
    min_logprob: float | None = None
    max_logprob: float | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    text: str | None = None
    instruction_id: str | None = None
    parent: str | None = None
    overridden: bool | None = None


@dataclass(frozen=True)
class Page:
    """Rows `offset` to `offset + len(rows)` of `total`.

    A row has the columns of its table, and `override`: what a person last decided (`restore`,
    `drop`, `edit`), or None.
    """

    rows: list[dict[str, Any]]
    total: int
    offset: int


def search(
    run: Run,
    wanted: Filter,
    *,
    sort: str = "judged",
    descending: bool = False,
    offset: int = 0,
    limit: int = 50,
) -> Page:
    """Return one page of candidates.

    Args:
        run: the run.
        wanted: which candidates.
        sort: `judged` (the order of the run), or one of `sort_columns(wanted.table)`; NaN and
            null come last either way, ties in the order of the run.
        descending: the largest first.
        offset: how many to skip.
        limit: how many at most.

    Raises:
        ConfigError: no such table, reason, verdict, column, or a bad range.
        StoreError: a file of the run is damaged.
    """
    raise NotImplementedError


def sort_columns(table: str) -> tuple[str, ...]:
    """Return the names that `search` sorts a table by."""
    raise NotImplementedError


def count_by_reason(run: Run, wanted: Filter) -> Mapping[str, int]:
    """Count what a filter finds by `accepted` or reason, `accepted` first, then the most.

    Raises:
        ConfigError: as `search`.
        StoreError: a file of the run is damaged.
    """
    raise NotImplementedError
