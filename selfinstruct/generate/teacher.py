"""The model that answers the tasks of a run: its config, and how it is prompted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LocalModel, Stage
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config, overlay
from selfinstruct.engines.base import Engine
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.models import CATALOGUE
from selfinstruct.store import Run


def refuse_other_keys(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for a setting that would be ignored, since it is not the teacher's."""
    other = sorted(set(values) - {"model", "engine", "instances"})
    other += [f"instances.{key}" for key in values.get("instances", {}) if key != "sampling"]
    if other:
        raise ConfigError(
            f"{', '.join(other)}: not a setting of a teacher; give keys of model, engine or "
            "instances.sampling (the rules are those of the run)"
        )


def teacher_config(run: Run, values: Mapping[str, Any]) -> RunConfig:
    """Return the run's rules with the model, engine and sampling of another model.

    Args:
        run: the run.
        values: `model`, `engine` and `instances.sampling` values, nested.

    Raises:
        ConfigError: a value is wrong.
    """
    source = "command line"
    name = build_config(values, source).model.name
    entry = CATALOGUE.get(name)
    teacher = build_config(overlay(entry.recommended if entry else {}, values), source)
    rules = stored_config(run)
    instances = rules.instances.model_copy(update={"sampling": teacher.instances.sampling})
    propose = rules.propose.model_copy(update={"domain": None})
    return rules.model_copy(
        update={
            "model": teacher.model,
            "engine": teacher.engine,
            "instances": instances,
            "propose": propose,
        }
    )


def mode_of(model: LocalModel, engine: Engine, config: RunConfig) -> str:
    """Return base or chat: how another model is asked."""
    if config.model.prompting != "auto":
        return config.model.prompting
    if model.prompting is not None:
        return model.prompting[Stage.INSTANCES]
    return "chat" if engine.has_chat_template else "base"
