"""Files of task templates: how the rows of a dataset become tasks (docs/import.md).

One file is about one kind of task and has several wordings of it. A wording has up to three forms:
*plain*, *inverted* (the input is predicted from the output) and *rationale* (the answer gives its
reasons). The texts are Jinja templates over the columns of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.fields import NonEmpty, Section
from selfinstruct.common.paths import user_path

SHIPPED = Path(__file__).parent / "tasks"

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
_Share = Annotated[float, Field(ge=0, le=1)]
_Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FormTexts(Section):
    """The texts of a form; what it leaves out is that of the plain form, where that fits."""

    instruction: NonEmpty | None = None
    input: str | None = None
    output: NonEmpty
    classification: bool | None = None


class Wording(Section):
    """One way to ask for the task.

    output: None: the task waits for an output that a model writes.
    classification: None: as the file says.
    inverted: the form in which the input is predicted from the output.
    rationale: the form whose answer gives its reasons.
    """

    name: _Name
    weight: _Weight = 1.0
    instruction: NonEmpty
    input: str = ""
    output: NonEmpty | None = None
    classification: bool | None = None
    inverted: FormTexts | None = None
    rationale: FormTexts | None = None

    @model_validator(mode="after")
    def _inverted_has_its_own(self) -> Wording:
        if self.inverted is not None and self.inverted.instruction is None:
            raise ValueError("inverted: has no instruction; it asks for something else, so say it")
        return self

    @model_validator(mode="after")
    def _without_output_is_plain(self) -> Wording:
        others = {"input": self.input, "inverted": self.inverted, "rationale": self.rationale}
        named = [name for name, value in others.items() if value]
        if self.output is None and named:
            raise ValueError(
                f"has no output, but {named[0]}; give an output, or put everything into the "
                "instruction"
            )
        return self


class TemplateFile(Section):
    """The content of a file.

    about: what the task is, in a line.
    weight: of the file among several.
    values: words for coded values of a column: `label: {0: negative, 1: positive}`.
    defaults: of the mixture; the command line's options win over them.
    example: a worked example, over `number`, `input`, `output`.
    query: the input after worked examples, over `input`.
    """

    name: _Name
    about: NonEmpty
    weight: _Weight = 1.0
    classification: bool = False
    values: dict[str, dict[str | int | bool, str]] = Field(default_factory=dict)
    inverted: _Share = 0.3
    rationale: _Share = 0.5
    example: NonEmpty = "Example {{ number }}\n{{ input }}\nAnswer: {{ output }}"
    query: NonEmpty = "Now it is your turn.\n{{ input }}"
    templates: tuple[Wording, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> TemplateFile:
        names = [wording.name for wording in self.templates]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"templates: two have the name {twice[0]!r}; give each its own")
        return self


@dataclass(frozen=True)
class TaskTemplates:
    """A file of templates: where it comes from, its text, its content."""

    source: str
    text: str
    content: TemplateFile
    weight: float


def shipped_names() -> list[str]:
    """Return the names of the template files that come with the project."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def shipped_templates() -> Iterator[TaskTemplates]:
    """Yield the template files that come with the project, by name."""
    return map(read_templates, shipped_names())


def read_templates(name: str) -> TaskTemplates:
    """Read a template file.

    Args:
        name: a path, or the name of a shipped file; `@2` after it is its weight among several.

    Raises:
        ConfigError: there is none, or it is wrong; names file, field and fix.
    """
    plain, weight = _split_weight(name)
    path = SHIPPED / f"{plain}.yaml" if plain in shipped_names() else user_path(plain, "--template")
    source = plain if path.parent == SHIPPED else str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{plain}: no such file, and no shipped templates of that name; those are: "
            f"{', '.join(shipped_names())} (--template)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{plain}: cannot be read ({why(error)}); check --template") from error
    content = parse_templates(text, source)
    return TaskTemplates(source, text, content, weight or content.weight)


def parse_templates(text: str, source: str) -> TemplateFile:
    """Parse the text of a template file.

    Raises:
        ConfigError: it is wrong; names file, field and fix.
    """
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f":{where.line + 1}" if where is not None else ""
        what = getattr(error, "problem", None) or error
        raise ConfigError(f"{source}{line}: is not YAML ({what}); correct it") from error
    if not isinstance(data, Mapping):
        raise ConfigError(
            f"{source}: holds no mapping; write `name:`, `about:` and `templates:` "
            "(docs/import.md shows a file)"
        )
    try:
        return TemplateFile.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item, source) for item in error.errors())) from error


def _split_weight(name: str) -> tuple[str, float | None]:
    """Return the name without the weight behind its last `@`, and the weight."""
    plain, sign, number = name.rpartition("@")
    if not sign or not plain:
        return name, None
    try:
        weight = float(number)
    except ValueError:
        return name, None
    if not 0 < weight < float("inf"):
        raise ConfigError(f"--template {name}: a weight is above 0, such as {plain}@2")
    return plain, weight


def _explain(item: Any, source: str) -> str:
    """Return one message for one wrong field."""
    where = ".".join(str(part) for part in item["loc"]) or "the file"
    if item["type"] == "extra_forbidden":
        return f"{source}: unknown field {where!r}; docs/import.md lists the fields"
    if item["type"] == "missing":
        return f"{source}: {where} is missing; add it"
    if item["type"] == "value_error":  # a message of our own validators
        return f"{source}: {where}: {item['ctx']['error']}"
    return f"{source}: {where}: {item['msg']} (it is {item['input']!r})"
