"""The words of a style of proposal (`evolve.yaml`): stop strings, examples, operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.suggest import did_you_mean
from selfinstruct.common.texts import shown
from selfinstruct.config.styles import OPERATIONS, STYLES

_Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
_Stop = Annotated[str, StringConstraints(strict=True, min_length=1)]

# What a proposal of the style shows at least one of.
_NEEDED = {"unnatural.yaml": "exemplars", "evolve.yaml": "operations"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WorkedTask(_Strict):
    """A task with its input and the constraints on its output."""

    instruction: _Text
    input: _Text
    constraints: _Text


class Pair(_Strict):
    """Two wordings of one task."""

    first: _Text
    other: _Text


class OperationWords(_Strict):
    """What an operation asks for, and a worked example of it."""

    change: _Text
    task: _Text
    result: _Text


class StyleSettings(_Strict):
    """The content of a style's YAML file; a style without one has none of it."""

    stop: dict[str, list[_Stop]] = {}
    exemplars: list[WorkedTask] = []
    pairs: list[Pair] = []
    operations: dict[str, OperationWords] = {}

    @property
    def tasks(self) -> list[str]:
        """The instructions of the worked examples: no task may repeat them."""
        rewritten = [text for one in self.operations.values() for text in (one.task, one.result)]
        return [*(one.instruction for one in self.exemplars), *rewritten]


def settings_file(files: Mapping[str, str]) -> str | None:
    """Return the name of the style's YAML file among the files of a run, if it has one."""
    names = {f"{template}.yaml" for style in STYLES.values() for template in style.templates}
    return next((name for name in sorted(files) if name in names), None)


def read_style_settings(files: Mapping[str, str]) -> StyleSettings:
    """Validate a style's YAML file.

    Args:
        files: texts by file name.

    Raises:
        ConfigError: a value is invalid; names file, key, value and problem.
    """
    name = settings_file(files)
    if name is None:
        return StyleSettings()
    try:
        settings = StyleSettings.model_validate(yaml.safe_load(files[name]))
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = ".".join(map(str, item["loc"]))
            lines.append(f"{name}: {key}: {item['msg']} (got {shown(item['input'])})")
        raise ConfigError("\n".join(lines)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: is not YAML: {why(error)}") from error
    needed = _NEEDED.get(name, "")
    if needed and not getattr(settings, needed):
        raise ConfigError(f"{name}: {needed}: is empty; give at least one")
    known = [operation.name for operation in OPERATIONS]
    for operation in settings.operations:
        if operation not in known:
            raise ConfigError(
                f"{name}: operations.{operation}: no such operation; "
                f"{did_you_mean(operation, known)}there are: {', '.join(known)}"
            )
    return settings
