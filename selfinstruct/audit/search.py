"""Find candidates of a run: filtered, sorted, a page at a time.

Nothing is loaded or indexed beforehand. DuckDB reads the columns that a query needs from the
Parquet files of the rounds, so a run can be searched while it grows. The full rows of a page are
then read from their few rounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from selfinstruct.audit.tables import check_table, fetch_all, judged, stream
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED, REJECTED
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.decisions.overrides import Overrides, read_overrides
from selfinstruct.filters.rules import reasons
from selfinstruct.store import Run

JUDGED = "judged"
_SORTS = {
    "instructions": ("rouge_l", "mean_logprob", "num_tokens", "round", "reason", "text"),
    "instances": ("mean_logprob", "input_logprob", "num_tokens", "round", "reason", "output"),
}
_SCORES = {"rouge_l", "mean_logprob", "input_logprob"}
_TEXTS = {"instructions": ("text", "raw_text"), "instances": ("input", "output")}
# Characters that cleaning removes from a raw text. A search text without them is searched for in
# the clean text alone, which halves the reading.
_MARKUP = re.compile(r"[*\"“”]|\s\s|[^\S ]|^\s|\s$")
_RANGES = {"rouge": "rouge_l", "logprob": "mean_logprob", "tokens": "num_tokens"}
_ORDER = "round, file_row_number"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which candidates to find; None, or an empty text, does not filter.

    table: `instructions` or `instances`.
    verdict: `accepted` or `rejected`, by the rules; people's decisions do not change it.
    reason: of the rejection, by the rules.
    round: number of a round.
    min_rouge, max_rouge: of `rouge_l` (instructions), ends included; NaN is in no range.
    min_logprob, max_logprob: of `mean_logprob`, nats per token, likewise.
    min_tokens, max_tokens: of `num_tokens`, likewise.
    text: anywhere in raw or clean text, input or output, in upper or lower case.
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
    filter: Filter,
    *,
    sort: str = "judged",
    descending: bool = False,
    offset: int = 0,
    limit: int = 50,
) -> Page:
    """Return one page of candidates.

    Args:
        run: the run.
        filter: which candidates.
        sort: `judged` (the order of the run), or one of `sort_columns(filter.table)`; NaN and
            null come last in both directions, ties in the order of the run.
        descending: the largest first.
        offset: number to skip.
        limit: most rows to return.

    Raises:
        ConfigError: no such table, reason, verdict, column, or a bad range.
        StoreError: a file of the run is damaged.
    """
    order, score = _order(filter.table, sort, descending)
    if offset < 0 or limit < 1:
        raise ConfigError(f"offset {offset}, limit {limit}: give 0 or more, and 1 or more")
    parts = _query_parts(run, filter)
    if parts is None:
        return Page([], 0, offset)
    source, where, values, overrides = parts
    places = fetch_all(
        run,
        f"WITH found AS MATERIALIZED (SELECT {_ORDER}, {score} AS score FROM {source} {where}) "
        "SELECT total, round, file_row_number FROM (SELECT count(*) AS total FROM found) "
        f"LEFT JOIN (SELECT * FROM found ORDER BY {order} LIMIT ? OFFSET ?) AS page ON true "
        f"ORDER BY {order}",
        [*values, limit, offset],
    )
    total = int(places[0][0])
    chosen = [(number, place) for _, number, place in places if number is not None]
    if not chosen:
        return Page([], total, offset)
    source = judged(run, filter.table, {number for number, _ in chosen})
    listed = ", ".join(f"({int(number)}, {int(place)})" for number, place in chosen)
    rows = {
        (row["round"], row.pop("file_row_number")): row
        for row in stream(run, f"SELECT * FROM {source} WHERE ({_ORDER}) IN ({listed})")
    }
    return Page([_with_override(rows[place], overrides) for place in chosen], total, offset)


def candidates(
    run: Run,
    filter: Filter,
    *,
    sort: str = JUDGED,
    descending: bool = False,
    offset: int = 0,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Return every candidate that a filter finds, as `search` sorts and shows them.

    The arguments are checked at once; rows are read as they are consumed.

    Raises:
        ConfigError: as `search`.
        StoreError: a file of the run is damaged.
    """
    order, score = _order(filter.table, sort, descending)
    if offset < 0 or (limit is not None and limit < 1):
        raise ConfigError(f"offset {offset}, limit {limit}: give 0 or more, and 1 or more")
    parts = _query_parts(run, filter)
    if parts is None:
        return iter(())
    source, where, values, overrides = parts
    query = (
        f"SELECT * EXCLUDE (file_row_number, score) FROM (SELECT *, {score} AS score "
        f"FROM {source} {where}) ORDER BY {order} LIMIT ? OFFSET ?"
    )
    rows = stream(run, query, [*values, limit, offset])
    return (_with_override(row, overrides) for row in rows)


def sort_columns(table: str) -> tuple[str, ...]:
    """Return the names that `search` sorts a table by."""
    check_table(table)
    return (JUDGED, *_SORTS[table])


def count_by_reason(run: Run, filter: Filter) -> Mapping[str, int]:
    """Count the matches of a filter by `accepted` or reason: `accepted` first, then by size.

    Raises:
        ConfigError: as `search`.
        StoreError: a file of the run is damaged.
    """
    parts = _query_parts(run, filter)
    if parts is None:
        return {}
    source, where, values, _ = parts
    query = (
        "SELECT coalesce(reason, verdict) AS outcome, count(*) AS rows "
        f"FROM {source} {where} GROUP BY 1 ORDER BY outcome != 'accepted', rows DESC, 1"
    )
    return {str(outcome): int(rows) for outcome, rows in fetch_all(run, query, values)}


def _with_override(row: dict[str, Any], overrides: Overrides) -> dict[str, Any]:
    decision = overrides.current.get(row["id"])
    return {**row, "override": str(decision.action) if decision else None}


def _query_parts(run: Run, filter: Filter) -> tuple[str, str, list[Any], Overrides] | None:
    """Return source, WHERE clause, its values, and the overrides; None if no round matches."""
    overrides = read_overrides(run)
    where, values = where_clause(filter, overrides)
    rounds = [n for n in run.rounds() if filter.round is None or n == filter.round]
    if not rounds:
        return None
    return judged(run, filter.table, rounds), where, values, overrides


def _order(table: str, sort: str, descending: bool) -> tuple[str, str]:
    """Return the ORDER BY of a page, and the expression behind its `score`."""
    if sort not in sort_columns(table):
        known = sort_columns(table)
        raise ConfigError(
            f"sort by {sort}: {table} cannot be; {did_you_mean(sort, known)}there are: "
            f"{', '.join(known)}"
        )
    direction = "DESC" if descending else "ASC"
    if sort == JUDGED:
        return f"round {direction}, file_row_number {direction}", "NULL"
    score = f"CASE WHEN isnan({sort}) THEN NULL ELSE {sort} END" if sort in _SCORES else sort
    return f"score {direction} NULLS LAST, {_ORDER}", score


def where_clause(filter: Filter, overrides: Overrides) -> tuple[str, list[Any]]:
    """Return the WHERE clause of a filter and the values of its parameters.

    Raises:
        ConfigError: no such table, verdict or reason, or a filter that the table lacks.
    """
    check_filter(filter)
    conditions: list[str] = []
    values: list[Any] = []
    for name in ("verdict", "reason", "round", "instruction_id"):
        if (value := getattr(filter, name)) is not None:
            conditions.append(f"{name} = ?")
            values.append(value)
    for name, column in _RANGES.items():
        for end, sign in (("min", ">="), ("max", "<=")):
            if (value := getattr(filter, f"{end}_{name}")) is not None:
                # DuckDB sorts NaN above every number.
                nan = f" AND NOT isnan({column})" if column in _SCORES else ""
                conditions.append(f"{column} {sign} ?{nan}")
                values.append(value)
    if filter.text:
        columns = list(_TEXTS[filter.table])
        if filter.table == "instructions" and not _MARKUP.search(filter.text):
            columns.remove("raw_text")
        texts = [f"contains(lower({name}), lower(?))" for name in columns]
        conditions.append(f"({' OR '.join(texts)})")
        values += [filter.text] * len(texts)
    if filter.parent is not None:
        conditions.append("list_contains(parents, ?)")
        values.append(filter.parent)
    if filter.overridden is not None:
        # Neither an empty list nor null contains anything.
        conditions.append(f"{'' if filter.overridden else 'NOT '}list_contains(?::VARCHAR[], id)")
        values.append(list(overrides.current))
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), values


def check_filter(filter: Filter) -> None:
    """Refuse a filter that would find nothing by mistake.

    Raises:
        ConfigError: no such table, verdict or reason, or a filter that the table lacks.
    """
    check_table(filter.table)
    check_outcomes(filter)
    other = {
        "instructions": ("instruction_id",),
        "instances": ("min_rouge", "max_rouge", "parent"),
    }[filter.table]
    used = [one.name for one in fields(filter) if getattr(filter, one.name) is not None]
    wrong = [name for name in used if name in other]
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: is not a filter of {filter.table}; leave it out")


def check_outcomes(filter: Filter) -> None:
    """Refuse a verdict or a reason that does not exist.

    Raises:
        ConfigError: it does not; names those that do.
    """
    for name, known in (("verdict", (ACCEPTED, REJECTED)), ("reason", tuple(reasons()))):
        value = getattr(filter, name)
        if value is not None and value not in known:
            raise ConfigError(
                f"{name} {value}: there is none; {did_you_mean(value, known)}there are: "
                f"{', '.join(known)}"
            )
