"""From rows to tasks: which forms a row gets, in what shares, with which examples."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfinstruct.common.errors import ConfigError
from selfinstruct.inputs.table import Table, TableRow, read_table
from selfinstruct.inputs.task_forms import TaskForm, forms_of
from selfinstruct.inputs.task_plan import Mixture, Plan, plan_tasks
from selfinstruct.inputs.task_templates import TaskTemplates, parse_templates

FILE = """
name: capitals
about: Countries and their capitals.
values: {size: {0: small, 1: large}}
inverted: 0.25
rationale: 0.5
templates:
  - name: ask
    instruction: Name the capital of the country.
    input: "{{ country }}"
    output: "{{ capital }}"
    inverted: {instruction: Name the country of the capital., input: "{{ capital }}",
               output: "{{ country }}"}
    rationale: {output: "{{ why }} It is {{ capital }}."}
  - name: told
    weight: 3
    instruction: "What is the capital of {{ country }}, which is {{ size }}?"
    output: "{{ capital }}"
"""
ROWS = [
    {"country": f"Land{n}", "capital": f"Town{n}", "size": n % 2, "why": f"Because of {n}."}
    for n in range(40)
]

EVERY = Mixture(per_row=None)


def table(rows: list[dict[str, Any]]) -> Table:
    return Table(
        "data.jsonl",
        [TableRow(f"row-{n}", f"data.jsonl:{n}", row) for n, row in enumerate(rows, start=1)],
        "",
    )


def forms(text: str = FILE, **shares: float | None) -> list[TaskForm]:
    content = parse_templates(text, "capitals.yaml")
    templates = TaskTemplates("capitals.yaml", text, content, content.weight)
    return forms_of(templates, shares.get("inverted"), shares.get("rationale"))


def made(plan: Plan) -> Counter[str]:
    return Counter(one.template for task in plan.tasks for one in task.instances)


def test_the_weights_of_forms_follow_from_the_shares() -> None:
    weights = {form.name: form.weight for form in forms()}
    assert weights == {
        "capitals/ask": pytest.approx(0.25 * 0.75 * 0.5),
        "capitals/ask/inverted": pytest.approx(0.25 * 0.25),
        "capitals/ask/rationale": pytest.approx(0.25 * 0.75 * 0.5),
        "capitals/told": pytest.approx(0.75),
    }
    only = [form.name for form in forms(inverted=1.0)]
    assert only == ["capitals/ask/inverted", "capitals/told"]
    assert "capitals/ask/inverted" not in [form.name for form in forms(inverted=0.0)]


def test_a_text_without_data_is_one_instruction_with_an_instance_for_each_row() -> None:
    plan = plan_tasks(table(ROWS[:3]), forms(), EVERY)
    by_text = {task.instruction: task for task in plan.tasks}
    ask = by_text["Name the capital of the country."]
    # The form with reasons keeps the instruction, and so adds to its instances.
    assert sorted((one.input, one.output) for one in ask.instances) == [
        ("Land0", "Because of 0. It is Town0."),
        ("Land0", "Town0"),
        ("Land1", "Because of 1. It is Town1."),
        ("Land1", "Town1"),
        ("Land2", "Because of 2. It is Town2."),
        ("Land2", "Town2"),
    ]
    inverted = by_text["Name the country of the capital."]
    assert {(one.input, one.output) for one in inverted.instances} == {
        (f"Town{n}", f"Land{n}") for n in range(3)
    }
    told = by_text["What is the capital of Land1, which is large?"]
    assert [(one.input, one.output, one.source_id) for one in told.instances] == [
        ("", "Town1", "row-2")
    ]
    assert len(plan.tasks) == 2 + 3


def test_each_row_gets_as_many_different_forms_as_asked_by_weight() -> None:
    rows = [{**ROWS[0], "country": f"Land{n}"} for n in range(4000)]
    counts = made(plan_tasks(table(rows), forms(), Mixture(per_row=1)))
    assert counts.total() == 4000
    # 4 standard deviations of a binomial share.
    for form in forms():
        spread = 4 * (4000 * form.weight * (1 - form.weight)) ** 0.5
        assert abs(counts[form.name] - 4000 * form.weight) < spread
    two = plan_tasks(table(rows[:50]), forms(), Mixture(per_row=2))
    of_row = Counter(one.source_id for task in two.tasks for one in task.instances)
    assert set(of_row.values()) == {2}


def test_examples_are_other_rows_in_the_same_form() -> None:
    plan = plan_tasks(table(ROWS), forms(), Mixture(per_row=None, examples={2: 1.0}))
    for task in plan.tasks:
        for one in task.instances:
            if one.template == "capitals/told":
                assert one.shown == ()  # nothing to show an example of: no input
                continue
            assert len(set(one.shown)) == 2
            assert one.source_id not in one.shown
    [first] = [
        one
        for task in plan.tasks
        for one in task.instances
        if (one.template, one.source_id) == ("capitals/ask/inverted", "row-5")
    ]
    numbers = [int(id.removeprefix("row-")) - 1 for id in first.shown]
    assert first.input == (
        f"Example 1\nTown{numbers[0]}\nAnswer: Land{numbers[0]}\n\n"
        f"Example 2\nTown{numbers[1]}\nAnswer: Land{numbers[1]}\n\n"
        "Now it is your turn.\nTown4"
    )
    weights = plan_tasks(table(ROWS * 20), forms(), Mixture(examples={0: 3.0, 1: 1.0}, per_row=1))
    shown = [len(one.shown) for task in weights.tasks for one in task.instances if one.input]
    assert 0.15 < sum(shown) / len(shown) < 0.35


def test_the_same_data_and_seed_give_the_same_plan() -> None:
    mixture = Mixture(per_row=2, examples={0: 1.0, 1: 1.0}, seed=5)
    plans = [plan_tasks(table(ROWS), forms(), mixture).tasks for _ in range(2)]
    assert plans[0] == plans[1]
    other = plan_tasks(table(ROWS), forms(), Mixture(per_row=2, examples={0: 1.0, 1: 1.0}, seed=6))
    assert other.tasks != plans[0]
    fewer = plan_tasks(table(ROWS), forms(), Mixture(rows=7))
    assert made(fewer).total() == 7


def test_a_row_without_reasons_gets_no_form_with_them() -> None:
    rows = [{**row, "why": None if n % 2 else row["why"]} for n, row in enumerate(ROWS)]
    plan = plan_tasks(table(rows), forms(), EVERY)
    with_reasons = {
        one.source_id
        for task in plan.tasks
        for one in task.instances
        if one.template == "capitals/ask/rationale"
    }
    assert with_reasons == {f"row-{n}" for n in range(1, 41, 2)}
    lacking = [{key: row[key] for key in row if key != "why"} for row in ROWS]
    assert made(plan_tasks(table(lacking), forms(), EVERY)).total() == 3 * 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capital": None}, r"data.jsonl:3: template capitals/\w+(/\w+)?, output: 'capital' is un"),
        ({"capital": " "}, r"data.jsonl:3: template capitals/\w+: the output is empty"),
        ({"size": 7}, r"data.jsonl:3: column 'size' is 7, which the template file has no word"),
        ({"capital": "\ud800"}, r"data.jsonl:3: template .* holds half a character"),
    ],
)
def test_a_row_that_cannot_be_used_stops_the_import_or_is_left_out(
    change: dict[str, Any], message: str
) -> None:
    rows = [*ROWS[:2], {**ROWS[2], **change}, *ROWS[3:]]
    with pytest.raises(ConfigError, match=message):
        plan_tasks(table(rows), forms(inverted=0.0), EVERY)
    plan = plan_tasks(table(rows), forms(inverted=0.0), EVERY, skip_invalid=True)
    assert plan.skipped.total() == 1
    assert made(plan).total() == 3 * (len(rows) - 1)


def test_a_missing_column_is_named_with_those_that_there_are() -> None:
    rows = [{"land": "A", "capital": "B", "size": 0}]
    with pytest.raises(ConfigError, match=r"no column 'country'.*land, capital, size.*--columns"):
        plan_tasks(table(rows), forms(), Mixture())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name: capitals", "nam: capitals"), "unknown field 'nam'"),
        (("about: Countries and their capitals.", ""), "capitals.yaml: about is missing"),
        (('"{{ country }}"', '"{{ country "'), "capitals/ask, input, line 1: is no Jinja template"),
        (("name: told", "name: ask"), "two have the name 'ask'"),
        (("weight: 3", "weight: 0"), r"templates.1.weight: .*greater than 0"),
        (("instruction: Name the country of the capital., ", ""), "has no instruction"),
        (("templates:", "templates: ["), "capitals.yaml:.*is not YAML"),
        ((FILE, "- a list"), "holds no mapping"),
    ],
)
def test_a_wrong_file_is_refused_by_field(change: tuple[str, str], message: str) -> None:
    text = FILE.replace(*change)
    assert text != FILE
    with pytest.raises(ConfigError, match=message):
        forms(text)


def test_templates_reach_nothing_but_the_row() -> None:
    text = FILE.replace('"{{ country }}"', '"{{ country.__class__.__mro__ }}"', 1)
    with pytest.raises(ConfigError, match="unsafe"):
        plan_tasks(table(ROWS), forms(text, inverted=0.0), EVERY)


def test_optional_columns_and_the_opening_filter() -> None:
    text = FILE.replace(
        'input: "{{ country }}"',
        'input: "{{ country }}{% if note is defined %} ({{ note }}){% endif %}"',
    ).replace('output: "{{ capital }}"', 'output: "{{ capital | opening(2) }}"', 1)
    rows = [
        {"country": "A", "capital": "one two three four five six", "size": 0, "note": "big"},
        {"country": "B", "capital": "one two", "size": 0, "note": None},
    ]
    plan = plan_tasks(table(rows), forms(text, inverted=0.0), EVERY)
    ask = next(task for task in plan.tasks if task.template == "capitals/ask")
    pairs = {(one.input, one.output) for one in ask.instances}
    assert pairs == {("A (big)", "one two"), ("B", "one")}


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"id": "a", "text": "one, two", "label": "1"},
        {"id": "b", "text": "three\nfour", "label": None},
    ]
    path = tmp_path / f"data.{suffix}"
    match suffix:
        case "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case "json":
            path.write_text(json.dumps(rows, indent=2))
        case "csv":
            path.write_text('id,text,label\na,"one, two",1\nb,"three\nfour",\n')
        case "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
    read = read_table(str(path))
    assert [dict(row.columns) for row in read.rows] == rows
    assert [row.id for row in read.rows] == ["a", "b"]
    assert read.columns == ["id", "text", "label"]


def test_ids_that_are_not_unique_are_replaced_by_places(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"id": 1}\n{"id": 1}\n')
    assert [row.id for row in read_table(str(path)).rows] == ["row-1", "row-2"]


def test_rows_that_are_none_are_named_or_counted(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"id": 1}\n[2]\n{"id": 3\n')
    with pytest.raises(ConfigError, match=r"data.jsonl:2: is \[2\], no object; write"):
        read_table(str(path))
    read = read_table(str(path), skip_invalid=True)
    assert [row.columns for row in read.rows] == [{"id": 1}]
    assert read.skipped == Counter({"not an object": 1, "not JSON": 1})
    path.write_text("[2]\n")
    with pytest.raises(ConfigError, match=r"no row that can be used \(left out: 1 row: 1 not"):
        read_table(str(path), skip_invalid=True)
    (tmp_path / "data.txt").write_text("One line.\n\nAnother.\n")
    lines = read_table(str(tmp_path / "data.txt"))
    assert [row.columns for row in lines.rows] == [{"text": "One line."}, {"text": "Another."}]
