"""Searching finds what reading everything and filtering in Python finds."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfinstruct.audit.search import Filter, candidates, count_by_reason, search, sort_columns
from selfinstruct.common.errors import ConfigError
from selfinstruct.decisions.decide import drop
from selfinstruct.engines.scripted import ScriptedEngine
from selfinstruct.generate.complete import complete
from selfinstruct.store import Run
from selfinstruct.verdicts.whatif import Thresholds, save_what_if
from tests.conftest import varied_script


def recorded(run: Run, table: str) -> list[dict[str, Any]]:
    """All rows of a table, in the order of the run."""
    return [asdict(row) for n in run.rounds() for row in getattr(run, table)(n)]


def holds(row: dict[str, Any], wanted: Filter) -> bool:
    """Whether a filter wants a row, said once more."""
    for name in ("verdict", "reason", "round", "instruction_id"):
        value = getattr(wanted, name)
        if value is not None and row[name] != value:
            return False
    for name, column in (
        ("rouge", "rouge_l"),
        ("logprob", "mean_logprob"),
        ("tokens", "num_tokens"),
    ):
        low, high = getattr(wanted, f"min_{name}"), getattr(wanted, f"max_{name}")
        if low is not None and not row[column] >= low:
            return False
        if high is not None and not row[column] <= high:
            return False
    if wanted.parent is not None and wanted.parent not in row["parents"]:
        return False
    names = ("text", "raw_text") if wanted.table == "instructions" else ("input", "output")
    text = (wanted.text or "").lower()
    return any(text in row[name].lower() for name in names)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


common = {
    "verdict": maybe(st.sampled_from(["accepted", "rejected"])),
    "reason": maybe(st.sampled_from(["not_novel", "truncated", "over_target"])),
    "round": maybe(st.integers(0, 5)),
    "min_logprob": maybe(st.floats(-3, 0)),
    "max_logprob": maybe(st.floats(-3, 0)),
    "min_tokens": maybe(st.integers(0, 9)),
    "text": maybe(st.sampled_from(["HARBOUR", "the", "%", "_", "'", "w1", "?", "zzz", "\\"])),
}
instructions = st.builds(
    Filter,
    **common,
    min_rouge=maybe(st.floats(0, 1)),
    max_rouge=maybe(st.floats(0, 1)),
    parent=maybe(st.sampled_from(["seed:seed_task_1", "nobody"])),
)
instances = st.builds(
    Filter, st.just("instances"), **common, instruction_id=maybe(st.just("r00000-p000-i02"))
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    wanted=instructions | instances,
    place=st.integers(0, 99),
    descending=st.booleans(),
    offset=st.integers(0, 9),
)
def test_it_finds_what_python_finds(
    small: Run, wanted: Filter, place: int, descending: bool, offset: int
) -> None:
    rows = [row for row in recorded(small, wanted.table) if holds(row, wanted)]
    sort = sort_columns(wanted.table)[place % len(sort_columns(wanted.table))]
    page = search(small, wanted, sort=sort, descending=descending, offset=offset, limit=7)
    assert page.total == len(rows) == sum(count_by_reason(small, wanted).values())
    if sort == "judged":
        ordered = rows[::-1] if descending else rows
    else:
        missing = lambda row: row[sort] is None or row[sort] != row[sort]  # noqa: E731
        known = [row for row in rows if not missing(row)]
        known.sort(key=lambda row: row[sort], reverse=descending)
        ordered = known + [row for row in rows if missing(row)]
    assert [row["id"] for row in page.rows] == [row["id"] for row in ordered[offset : offset + 7]]
    streamed = candidates(small, wanted, sort=sort, descending=descending)
    assert [row["id"] for row in streamed] == [row["id"] for row in ordered]


def test_a_row_has_every_column_and_what_a_person_decided(small: Run) -> None:
    first = recorded(small, "instructions")[0]
    accepted = search(small, Filter(verdict="accepted")).rows[0]
    drop(small, accepted["id"], by="ann")
    [row] = [one for one in search(small, Filter()).rows if one["id"] == accepted["id"]]
    assert row["override"] == "drop"
    assert row.keys() == {*first, "override"}
    assert [one["id"] for one in search(small, Filter(overridden=True)).rows] == [accepted["id"]]
    others = search(small, Filter(overridden=False))
    assert others.total == len(recorded(small, "instructions")) - 1
    assert next(candidates(small, Filter(overridden=True)))["override"] == "drop"


def test_without_decisions_nothing_is_overridden(small: Run) -> None:
    assert search(small, Filter(overridden=True)).total == 0
    assert search(small, Filter("instances", overridden=False)).total > 0


def test_pages_join_to_the_whole(small: Run) -> None:
    total = search(small, Filter()).total
    pages = [search(small, Filter(), offset=n, limit=9).rows for n in range(0, total + 9, 9)]
    ids = [row["id"] for page in pages for row in page]
    assert ids == [row["id"] for row in recorded(small, "instructions")]
    assert pages[-1] == []
    assert search(small, Filter(), offset=10**6).total == total


def test_what_was_completed_is_in_place(small: Run, tmp_path: Any) -> None:
    run = save_what_if(small, Thresholds(rouge=1.0), tmp_path / "looser")
    waiting = search(run, Filter(reason="pending_instances")).rows
    assert waiting
    complete(
        run,
        make_engine=lambda *_: ScriptedEngine(varied_script),
        model_progress=lambda *_: None,
        advance=lambda *_: None,
        batch_size=2,
    )
    assert search(run, Filter(reason="pending_instances")).total == 0
    ids = [row["id"] for row in waiting]
    for sort in ("judged", "mean_logprob"):
        rows = search(run, Filter("instances"), sort=sort, limit=1000).rows
        assert set(ids) <= {row["instruction_id"] for row in rows}
        assert len({row["id"] for row in rows}) == len(rows)
    own = search(run, Filter("instances", instruction_id=ids[0])).rows
    assert own
    assert all(row["instruction_id"] == ids[0] for row in own)


def test_nan_is_in_no_range_and_last(small: Run) -> None:
    for descending in (False, True):
        rows = search(small, Filter(), sort="rouge_l", descending=descending, limit=1000).rows
        scores = [math.isnan(row["rouge_l"]) for row in rows]
        assert scores == sorted(scores)
    assert search(small, Filter(max_rouge=1.0)).total < search(small, Filter()).total


@pytest.mark.parametrize(
    ("wanted", "options", "message"),
    [
        (Filter("completions"), {}, "completions: is not a table of candidates"),
        (Filter(verdict="maybe"), {}, "verdict maybe: there is none"),
        (Filter(reason="dull"), {}, "reason dull: there is none; there are: parse_failure"),
        (Filter("instances", min_rouge=0.5), {}, "min_rouge: is not a filter of instances"),
        (Filter(instruction_id="x"), {}, "instruction_id: is not a filter of instructions"),
        (Filter(), {"sort": "id; DROP TABLE x"}, "instructions cannot be; there are: judged"),
        (Filter(), {"limit": 0}, "limit 0"),
        (Filter(), {"offset": -1}, "offset -1"),
    ],
)
def test_bad_questions_are_refused(
    small: Run, wanted: Filter, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        search(small, wanted, **options)


def test_a_run_that_grows_is_read_as_it_is(small: Run) -> None:
    before = search(small, Filter()).total
    last = small.rounds()[-1]
    number = last + 1
    data = replace(small.read_round(last), number=number)
    rows = [
        replace(row, id=f"r{number:05d}-{row.id[7:]}", round=number) for row in data.instructions
    ]
    info = {**data.info, "round": number}
    small.commit(replace(data, info=info, instructions=rows, instances=[]))
    assert search(small, Filter()).total == before + len(rows)
    assert search(small, Filter(round=number)).total == len(rows)
