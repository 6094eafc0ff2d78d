"""From the rows of a dataset to tasks: which forms a row gets, and which examples are shown.

Every draw comes from (seed, row, purpose): the same data, templates and mixture give the same
tasks, so that an import that was cut off continues where it stopped.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfinstruct.common.draws import derive_seed
from selfinstruct.common.errors import ConfigError, why
from selfinstruct.inputs.table import Table, TableRow
from selfinstruct.inputs.task_forms import RATIONALE, TaskForm, TaskTexts


@dataclass(frozen=True)
class Mixture:
    """What is made of each row.

    per_row: forms that a row gets, drawn by their weights; None: every form.
    examples: weight of each number of worked examples that are shown before an input.
    rows: at most so many rows, drawn from all; None: all.
    seed: of every draw.
    """

    per_row: int | None = 1
    examples: Mapping[int, float] = field(default_factory=lambda: {0: 1.0})
    rows: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PlannedInstance:
    """An instance, and what it was made of: form, row, and the rows shown as examples."""

    template: str
    source_id: str
    shown: tuple[str, ...]
    input: str
    output: str


@dataclass(frozen=True)
class PlannedTask:
    """An instruction with all its instances; `form` is the place of the form that gave it first.

    A task of a template without an output has no instance.
    """

    form: int
    template: str
    instruction: str
    classification: bool
    instances: list[PlannedInstance]


@dataclass(frozen=True)
class Plan:
    """The tasks in the order in which they are judged, and the skipped rows by reason."""

    tasks: list[PlannedTask]
    skipped: Counter[str]


def plan_tasks(
    table: Table, forms: Sequence[TaskForm], mixture: Mixture, *, skip_invalid: bool = False
) -> Plan:
    """Make tasks of the rows of a dataset.

    Rows are taken in a drawn order, so that a limit on the instances of an instruction does not
    keep the first label of sorted data alone.

    Args:
        table: the dataset, its columns named as the templates name them.
        forms: of the templates.
        mixture: what is made of each row.
        skip_invalid: leave out rows that a template cannot use, instead of stopping.

    Raises:
        ConfigError: a column is missing, or a row cannot be used; names file, line and field.
    """
    usable = usable_forms(table, forms)
    order = list(range(len(table.rows)))
    random.Random(derive_seed(mixture.seed, "import", "rows")).shuffle(order)
    tasks: dict[str, PlannedTask] = {}
    skipped: Counter[str] = Counter()
    for number in order[: mixture.rows]:
        try:
            made = list(_tasks_of(number, table.rows, usable, mixture))
        except ConfigError as error:
            if not skip_invalid:
                raise ConfigError(
                    f"{table.rows[number].where}: {why(error)}; correct the row, or leave such "
                    "rows out with --skip-invalid"
                ) from error
            skipped[str(error)] += 1
            continue
        for place, texts, instance in made:
            new = PlannedTask(
                place, usable[place].name, texts.instruction, usable[place].classification, []
            )
            task = tasks.setdefault(texts.instruction, new)
            if usable[place].texts.output:
                task.instances.append(instance)
    return Plan(list(tasks.values()), skipped)


def usable_forms(table: Table, forms: Sequence[TaskForm]) -> list[TaskForm]:
    """Return the forms that a dataset has the columns for; one with a rationale may lack them.

    Raises:
        ConfigError: it lacks a column of another form, or a weight is 0 for all of them.
    """
    columns = table.columns
    usable = []
    for form in forms:
        missing = sorted(form.columns - set(columns))
        if not missing:
            usable.append(form)
        elif form.kind != RATIONALE:
            raise ConfigError(
                f"{table.name}: has no column {missing[0]!r}, which the template {form.name} "
                f"uses; its columns are {', '.join(columns)}. Name the right one with "
                f"--columns {missing[0]}=COLUMN, or give other templates"
            )
    if not usable:
        raise ConfigError("no form of the templates is left; check --inverted and --rationale")
    return usable


_Made = tuple[int, TaskTexts, PlannedInstance]


def _tasks_of(
    number: int, rows: Sequence[TableRow], forms: Sequence[TaskForm], mixture: Mixture
) -> Iterator[_Made]:
    """Yield the tasks of a row, each with the place of its form."""
    row = rows[number]
    draws = random.Random(derive_seed(mixture.seed, "import", "forms", number))
    open_places = [
        place for place, form in enumerate(forms) if form.kind != RATIONALE or _has_all(row, form)
    ]
    for place in _drawn(open_places, forms, mixture.per_row, draws):
        form = forms[place]
        texts = _rendered(form, row)
        counts = list(mixture.examples)
        [count] = draws.choices(counts, [mixture.examples[one] for one in counts])
        shown = _examples(number, rows, form, texts, count if texts.input else 0, mixture.seed)
        input = form.with_examples([one for _, one in shown], texts.input) if shown else texts.input
        ids = tuple(id for id, _ in shown)
        yield place, texts, PlannedInstance(form.name, row.id, ids, input, texts.output)


def _has_all(row: TableRow, form: TaskForm) -> bool:
    return all(row.columns.get(name) not in (None, "") for name in form.columns)


def _drawn(
    places: Sequence[int], forms: Sequence[TaskForm], most: int | None, draws: random.Random
) -> list[int]:
    """Return so many different places, drawn by the weights of their forms; in order if all."""
    if most is None or most >= len(places):
        return list(places)
    left = list(places)
    drawn = []
    for _ in range(most):
        [place] = draws.choices(left, [forms[one].weight for one in left])
        left.remove(place)
        drawn.append(place)
    return drawn


def _examples(
    number: int,
    rows: Sequence[TableRow],
    form: TaskForm,
    own: TaskTexts,
    count: int,
    seed: int,
) -> list[tuple[str, TaskTexts]]:
    """Return worked examples from other rows, with their ids: as many as there are, at most.

    A row that the form cannot use, or that asks what this row or another example asks, is none.
    """
    if count == 0:
        return []
    draws = random.Random(derive_seed(seed, "import", "examples", number, form.name))
    shown: list[tuple[str, TaskTexts]] = []
    inputs = {own.input}
    for other in draws.sample(range(len(rows)), min(len(rows), 10 * count + 10)):
        try:
            texts = _rendered(form, rows[other])
        except ConfigError:
            continue
        same_task = texts.instruction == own.instruction
        if other != number and same_task and texts.output and texts.input not in inputs:
            inputs.add(texts.input)
            shown.append((rows[other].id, texts))
            if len(shown) == count:
                break
    return shown


def _rendered(form: TaskForm, row: TableRow) -> TaskTexts:
    """Render a form for a row.

    Raises:
        ConfigError: the row cannot be used; says what and why, not where.
    """
    texts = form.render(_values(row.columns, form))
    for name, text in (("instruction", texts.instruction), ("output", texts.output)):
        if not text and getattr(form.texts, name):
            raise ConfigError(f"template {form.name}: the {name} is empty")
    for text in (texts.instruction, texts.input, texts.output):
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise ConfigError(f"template {form.name}: holds half a character (a lone surrogate)")
    return texts


def _values(columns: Mapping[str, Any], form: TaskForm) -> dict[str, Any]:
    """Return the columns without nulls, coded values as their words."""
    values = {name: value for name, value in columns.items() if value is not None}
    for name, words in form.file.values.items():
        if name in values:
            values[name] = _word(values[name], words, name)
    return values


def _word(value: Any, words: Mapping[str | int | bool, str], column: str) -> str:
    by_code = {_code(code): word for code, word in words.items()}
    code = _code(value)
    if code in by_code:
        return by_code[code]
    if str(value) in by_code.values():
        return str(value)
    raise ConfigError(
        f"column {column!r} is {value!r}, which the template file has no word for (it has "
        f"{', '.join(by_code)})"
    )


def _code(value: Any) -> str:
    """Return a coded value as text: 1, 1.0 and the text "1" are one code."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().casefold()
