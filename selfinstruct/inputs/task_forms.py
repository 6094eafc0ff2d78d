"""The forms of task templates, ready to render: Jinja in a sandbox, over the columns of a row.

A missing or null column is an error where a template uses it. A template that can do without asks:
`{% if title is defined %}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.inputs.task_templates import FormTexts, TaskTemplates, TemplateFile, Wording

PLAIN, INVERTED, RATIONALE = "plain", "inverted", "rationale"


@dataclass(frozen=True, slots=True)
class TaskTexts:
    """The rendered texts of a task; without an output, it waits for one."""

    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class TaskForm:
    """One form of one wording.

    name: `sentiment/judge`, `sentiment/judge/inverted`.
    kind: plain, inverted or rationale.
    weight: share of the rows that it gets, relative to the other forms.
    columns: what the texts use without asking whether it is there.
    """

    name: str
    kind: str
    weight: float
    classification: bool
    texts: TaskTexts
    file: TemplateFile
    columns: frozenset[str]

    def render(self, values: Mapping[str, Any]) -> TaskTexts:
        """Render the form for a row.

        Args:
            values: the columns of the row, without nulls.

        Raises:
            ConfigError: a text cannot be rendered; names form, field and problem.
        """
        return TaskTexts(
            self._text("instruction", values),
            self._text("input", values),
            self._text("output", values),
        )

    def with_examples(self, examples: Sequence[TaskTexts], input: str) -> str:
        """Return the input after worked examples."""
        shown = [
            _template(self.file.example).render(number=n, input=one.input, output=one.output)
            for n, one in enumerate(examples, start=1)
        ]
        return "\n\n".join([*shown, _template(self.file.query).render(input=input)])

    def _text(self, field: str, values: Mapping[str, Any]) -> str:
        try:
            return _template(getattr(self.texts, field)).render(values).strip()
        # Whatever a template does with the values of a row can fail in its own way.
        except Exception as error:
            raise ConfigError(f"template {self.name}, {field}: {why(error)}") from error


def forms_of(
    templates: TaskTemplates, inverted: float | None, rationale: float | None
) -> list[TaskForm]:
    """Return the forms of a file, with their weights in the mixture.

    Args:
        templates: the file.
        inverted: share of a wording's rows that its inverted form gets; None: as the file says.
        rationale: share of the others that the form with the rationale gets; likewise.

    Raises:
        ConfigError: a text is no Jinja template; names file, wording, field and line.
    """
    file = templates.content
    flipped = file.inverted if inverted is None else inverted
    reasoned = file.rationale if rationale is None else rationale
    total = sum(wording.weight for wording in file.templates)
    forms: list[TaskForm] = []
    for wording in file.templates:
        weight = templates.weight * wording.weight / total
        share = flipped if wording.inverted is not None else 0.0
        inner = reasoned if wording.rationale is not None else 0.0
        shares = {
            PLAIN: (1 - share) * (1 - inner),
            INVERTED: share,
            RATIONALE: (1 - share) * inner,
        }
        for kind, texts, is_label in _texts_of(wording, file):
            name = f"{file.name}/{wording.name}" + ("" if kind == PLAIN else f"/{kind}")
            columns = _columns(texts, f"{templates.source}: {name}")
            form = TaskForm(name, kind, weight * shares[kind], is_label, texts, file, columns)
            forms.append(form)
    for field in ("example", "query"):
        _undeclared(getattr(file, field), f"{templates.source}: {field}")
    return [form for form in forms if form.weight > 0]


def _texts_of(wording: Wording, file: TemplateFile) -> Iterator[tuple[str, TaskTexts, bool]]:
    """Yield the kind of each form of a wording, its texts, and whether it is classification."""
    own = file.classification if wording.classification is None else wording.classification
    yield PLAIN, TaskTexts(wording.instruction, wording.input, wording.output or ""), own
    if wording.inverted is not None:
        other = wording.inverted
        texts = TaskTexts(other.instruction or "", other.input or "", other.output)
        yield INVERTED, texts, bool(other.classification)
    if wording.rationale is not None:
        yield RATIONALE, _with_reasons(wording, wording.rationale), False


def _with_reasons(wording: Wording, form: FormTexts) -> TaskTexts:
    input = wording.input if form.input is None else form.input
    return TaskTexts(form.instruction or wording.instruction, input, form.output)


def _columns(texts: TaskTexts, where: str) -> frozenset[str]:
    """Return the columns that the texts use and do not ask for with `is defined` or `default`."""
    named = {
        name
        for field in ("instruction", "input", "output")
        for name in _undeclared(getattr(texts, field), f"{where}, {field}")
    }
    return frozenset(named)


def _undeclared(text: str, where: str) -> set[str]:
    try:
        tree = _environment().parse(text)
        _template(text)
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        place = f", line {line}" if line else ""
        raise ConfigError(
            f"{where}{place}: is no Jinja template ({why(error)}); correct it"
        ) from error
    optional = {
        test.node.name
        for test in tree.find_all(jinja2.nodes.Test)
        if test.name in ("defined", "undefined") and isinstance(test.node, jinja2.nodes.Name)
    }
    optional |= {
        use.node.name
        for use in tree.find_all(jinja2.nodes.Filter)
        if use.name in ("default", "d") and isinstance(use.node, jinja2.nodes.Name)
    }
    return meta.find_undeclared_variables(tree) - optional


@cache
def _template(text: str) -> jinja2.Template:
    return _environment().from_string(text)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["opening"] = _opening
    return environment


def _opening(text: object, count: int = 4) -> str:
    """Return the first words of a text, a third of it at most: `{{ text | opening(4) }}`."""
    words = str(text).split()
    return " ".join(words[: max(1, min(count, len(words) // 3))])
