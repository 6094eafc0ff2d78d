"""Read prompts.yaml: the words of templates and parser, stop strings, exemplars, answer kinds."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import Instance, Markers, SeedTask
from selfinstruct.common.texts import shown
from selfinstruct.prompts.kinds import KindRule, compiled

SETTINGS = "prompts.yaml"

_Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
_Stop = Annotated[str, StringConstraints(strict=True, min_length=1)]


def _checked_pattern(pattern: str) -> str:
    try:
        compiled(pattern)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {why(error)}") from error
    return pattern


_Pattern = Annotated[str, AfterValidator(_checked_pattern)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Markers(_Strict):
    input: _Text
    output: _Text
    label: _Text
    classification: _Text
    no_input: list[_Text]


class _Instance(_Strict):
    input: Annotated[str, StringConstraints(strict=True, strip_whitespace=True)]
    output: _Text


class _Exemplar(_Strict):
    instruction: _Text
    is_classification: bool
    instances: Annotated[list[_Instance], Field(min_length=1)]


class _PassageExemplar(_Strict):
    """A worked passage; `subjects` are words that it is about, and few other texts."""

    text: _Text
    tasks: Annotated[list[_Text], Field(min_length=1)]
    subjects: list[_Text] = []


class _KindRule(_Strict):
    kind: Literal["label", "text"]
    when: Annotated[list[_Pattern], Field(min_length=1)]


class PromptSettings(_Strict):
    """The content of prompts.yaml. Without `classification`, the model alone decides.

    Without `passages`, no tasks about documents can be asked for.
    """

    markers: _Markers
    stop: dict[str, list[_Stop]]
    exemplars: list[_Exemplar]
    classification: list[_KindRule] = []
    passages: list[_PassageExemplar] = []

    def passage_exemplars(self) -> tuple[dict[str, Any], ...]:
        """Return the worked passages, each with its `text` and `tasks`."""
        return tuple(exemplar.model_dump() for exemplar in self.passages)

    def kind_rules(self) -> tuple[KindRule, ...]:
        """Return what the words of an instruction say of its answer, in order."""
        return tuple(
            KindRule(rule.kind == "label", tuple(map(compiled, rule.when)))
            for rule in self.classification
        )

    def marker_record(self) -> Markers:
        """Return the markers; words for “no input” are compared casefolded."""
        words = self.markers.model_dump()
        words["no_input"] = tuple(word.casefold() for word in self.markers.no_input)
        return Markers(**words)

    def exemplar_tasks(self) -> tuple[SeedTask, ...]:
        """Return the exemplars as tasks, in the order of the file."""
        return tuple(
            SeedTask(
                id=f"exemplar_{position}",
                name=f"exemplar_{position}",
                instruction=exemplar.instruction,
                instances=tuple(Instance(i.input, i.output) for i in exemplar.instances),
                is_classification=exemplar.is_classification,
            )
            for position, exemplar in enumerate(self.exemplars)
        )


def read_settings(text: str) -> PromptSettings:
    """Validate the text of a prompts.yaml.

    Raises:
        ConfigError: a value is invalid; names key, value and problem.
    """
    try:
        return PromptSettings.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = ".".join(map(str, item["loc"]))
            lines.append(f"{SETTINGS}: {key}: {item['msg']} (got {shown(item['input'])})")
        raise ConfigError("\n".join(lines)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{SETTINGS}: is not YAML: {why(error)}") from error
