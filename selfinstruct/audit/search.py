"""Find candidates of a run: filtered, sorted, a page at a time.

Nothing is loaded or indexed beforehand: DuckDB reads the columns that a question needs from
the Parquet files of the rounds, so that a run can be searched while it grows. What a page
shows is then read from the few rounds that its rows stand in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from selfinstruct.audit.tables import check_table, fetch_all, judged, stream
from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import ACCEPTED, REJECTED
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
# What cleaning takes out of a raw text; a text without any of it is in the clean text, too, and
# half as much is to be read.
_MARKUP = re.compile(r"[*\"“”]|\s\s|[^\S ]|^\s|\s$")
_RANGES = {"rouge": "rouge_l", "logprob": "mean_logprob", "tokens": "num_tokens"}
_ORDER = "round, file_row_number"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which candidates are wanted; None, or nothing, leaves them all.

    table: `instructions` or `instances`.
    verdict: `accepted` or `rejected`, as the rules judged; what people decided changes none.
    reason: a reason of rejection, likewise.
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
    order, score = _order(wanted.table, sort, descending)
    if offset < 0 or limit < 1:
        raise ConfigError(f"offset {offset}, limit {limit}: give 0 or more, and 1 or more")
    found = _found(run, wanted)
    if found is None:
        return Page([], 0, offset)
    source, where, values, overrides = found
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
    source = judged(run, wanted.table, {number for number, _ in chosen})
    listed = ", ".join(f"({int(number)}, {int(place)})" for number, place in chosen)
    rows = {
        (row["round"], row.pop("file_row_number")): row
        for row in stream(run, f"SELECT * FROM {source} WHERE ({_ORDER}) IN ({listed})")
    }
    return Page([_with_override(rows[place], overrides) for place in chosen], total, offset)


def candidates(
    run: Run,
    wanted: Filter,
    *,
    sort: str = JUDGED,
    descending: bool = False,
    offset: int = 0,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Return every candidate that a filter finds, as `search` sorts and shows them.

    The arguments are checked at once; rows are read as they are taken.

    Raises:
        ConfigError: as `search`.
        StoreError: a file of the run is damaged.
    """
    order, score = _order(wanted.table, sort, descending)
    if offset < 0 or (limit is not None and limit < 1):
        raise ConfigError(f"offset {offset}, limit {limit}: give 0 or more, and 1 or more")
    found = _found(run, wanted)
    if found is None:
        return iter(())
    source, where, values, overrides = found
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


def count_by_reason(run: Run, wanted: Filter) -> Mapping[str, int]:
    """Count what a filter finds by `accepted` or reason, `accepted` first, then the most.

    Raises:
        ConfigError: as `search`.
        StoreError: a file of the run is damaged.
    """
    found = _found(run, wanted)
    if found is None:
        return {}
    source, where, values, _ = found
    query = (
        "SELECT coalesce(reason, verdict) AS outcome, count(*) AS rows "
        f"FROM {source} {where} GROUP BY 1 ORDER BY outcome != 'accepted', rows DESC, 1"
    )
    return {str(outcome): int(rows) for outcome, rows in fetch_all(run, query, values)}


def _with_override(row: dict[str, Any], overrides: Overrides) -> dict[str, Any]:
    decision = overrides.current.get(row["id"])
    return {**row, "override": str(decision.action) if decision else None}


def _found(run: Run, wanted: Filter) -> tuple[str, str, list[Any], Overrides] | None:
    """Return source, WHERE clause, its values, and the overrides; None where no round is wanted."""
    overrides = read_overrides(run)
    where, values = where_clause(wanted, overrides)
    rounds = [n for n in run.rounds() if wanted.round is None or n == wanted.round]
    if not rounds:
        return None
    return judged(run, wanted.table, rounds), where, values, overrides


def _order(table: str, sort: str, descending: bool) -> tuple[str, str]:
    """Return the ORDER BY of a page, and the expression behind its `score`."""
    if sort not in sort_columns(table):
        known = ", ".join(sort_columns(table))
        raise ConfigError(f"sort by {sort}: {table} cannot be; there are: {known}")
    direction = "DESC" if descending else "ASC"
    if sort == JUDGED:
        return f"round {direction}, file_row_number {direction}", "NULL"
    score = f"CASE WHEN isnan({sort}) THEN NULL ELSE {sort} END" if sort in _SCORES else sort
    return f"score {direction} NULLS LAST, {_ORDER}", score


def where_clause(wanted: Filter, overrides: Overrides) -> tuple[str, list[Any]]:
    """Return the WHERE clause of a filter and the values of its parameters.

    Raises:
        ConfigError: no such table, verdict or reason, or a filter that the table has not.
    """
    check_filter(wanted)
    conditions: list[str] = []
    values: list[Any] = []
    for name in ("verdict", "reason", "round", "instruction_id"):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(f"{name} = ?")
            values.append(value)
    for name, column in _RANGES.items():
        for end, sign in (("min", ">="), ("max", "<=")):
            if (value := getattr(wanted, f"{end}_{name}")) is not None:
                # To DuckDB NaN is above every number.
                nan = f" AND NOT isnan({column})" if column in _SCORES else ""
                conditions.append(f"{column} {sign} ?{nan}")
                values.append(value)
    if wanted.text:
        columns = list(_TEXTS[wanted.table])
        if wanted.table == "instructions" and not _MARKUP.search(wanted.text):
            columns.remove("raw_text")
        texts = [f"contains(lower({name}), lower(?))" for name in columns]
        conditions.append(f"({' OR '.join(texts)})")
        values += [wanted.text] * len(texts)
    if wanted.parent is not None:
        conditions.append("list_contains(parents, ?)")
        values.append(wanted.parent)
    if wanted.overridden is not None:
        # In an empty list, and in none at all, nothing is contained.
        conditions.append(f"{'' if wanted.overridden else 'NOT '}list_contains(?::VARCHAR[], id)")
        values.append(list(overrides.current))
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), values


def check_filter(wanted: Filter) -> None:
    """Refuse what would find nothing by mistake.

    Raises:
        ConfigError: no such table, verdict or reason, or a filter that the table has not.
    """
    check_table(wanted.table)
    for name, known in (("verdict", (ACCEPTED, REJECTED)), ("reason", tuple(reasons()))):
        value = getattr(wanted, name)
        if value is not None and value not in known:
            raise ConfigError(f"{name} {value}: there is none; there are: {', '.join(known)}")
    other = {
        "instructions": ("instruction_id",),
        "instances": ("min_rouge", "max_rouge", "parent"),
    }[wanted.table]
    given = [one.name for one in fields(wanted) if getattr(wanted, one.name) is not None]
    wrong = [name for name in given if name in other]
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: is no filter of {wanted.table}; leave it out")
