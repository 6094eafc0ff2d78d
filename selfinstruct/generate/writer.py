"""The model that writes more for a run: the run's own, or another one that was named.

Self-chats and revisions use it. The rules are those of the run; model, engine and sampling are
those of the model that writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LOOP_STAGES, LocalModel
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config, overlay
from selfinstruct.engines.base import Engine
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.generate.complete import own_model
from selfinstruct.generate.teacher import mode_of, teacher_config
from selfinstruct.inputs.run_inputs import stored_config
from selfinstruct.models import Progress, resolve_model
from selfinstruct.store import Run


@dataclass(frozen=True)
class Writer:
    """A model that writes.

    config: the run's rules, with the model, engine and sampling of this one.
    engine: not started.
    modes: `base`, `chat` or `plain`, for each stage of the loop.
    """

    config: RunConfig
    model: LocalModel
    engine: Engine
    modes: Mapping[str, str]

    @property
    def recorded(self) -> dict[str, Any]:
        """The model as the JSON of a commit has it."""
        return {"name": self.model.name, "digest": self.model.digest, "prompting": self.modes}


def writer_of(
    run: Run,
    values: Mapping[str, Any],
    make_engine: EngineFactory,
    progress: Progress,
    what: str,
) -> Writer:
    """Return the model that writes.

    Args:
        run: the run.
        values: `model`, `engine` and `instances.sampling` values, nested. Without `model.name`,
            the run's own model writes, prompted as for the run.
        make_engine: builds the engine without loading its model.
        progress: called with each step of preparing the model, and the share that is done.
        what: it writes, such as `self-chats`, for messages.

    Raises:
        ConfigError: bad values, or a model that is not the run's own.
    """
    is_own = "name" not in values.get("model", {})
    if is_own and not run.has_model:
        raise ConfigError(
            f"{run.path}: begins with imported tasks, so it has no model of its own; name the one "
            f"that writes {what} with --model"
        )
    config = _own_config(run, values, what) if is_own else teacher_config(run, values)
    if is_own:
        model = own_model(run, config, progress)
    else:
        model = resolve_model(config.model.name, progress, config.engine.base_url)
    engine = make_engine(model, config.model, config.engine)
    modes = dict(run.meta["model"]["prompting"]) if is_own else _modes(model, engine, config)
    return Writer(config, model, engine, modes)


def refuse_other_keys(values: Mapping[str, Any], section: str, what: str) -> None:
    """Raise ConfigError for a setting that would be ignored.

    Args:
        values: nested.
        section: the section of what is written, beside those of the model.
        what: is written, for messages.
    """
    other = sorted(set(values) - {section, "model", "engine", "instances"})
    other += [f"instances.{key}" for key in values.get("instances", {}) if key != "sampling"]
    if other:
        raise ConfigError(
            f"{', '.join(other)}: not a setting of {what}; give keys of {section}, model, "
            "engine or instances.sampling (the rules are those of the run)"
        )
    model = values.get("model", {})
    if model and "name" not in model:
        keys = ", ".join(f"model.{key}" for key in model)
        raise ConfigError(
            f"{keys}: the run's own model writes as it wrote the run; name a model with --model to "
            "change how"
        )


def _own_config(run: Run, values: Mapping[str, Any], what: str) -> RunConfig:
    """Return the run's config; its context was for single tasks, so another is found.

    With another engine, options of the run's engine that set only speed are left out.
    """
    stored = stored_config(run).model_dump(mode="json")
    engine = {**stored["engine"], "context_length": None}
    own = values.get("engine", {})
    if own.get("name", engine["name"]) != engine["name"]:
        engine = {key: engine[key] for key in ("context_length", "options")}
    given = {key: value for key, value in values.items() if key != "engine"}
    rules = {key: value for key, value in stored.items() if key != "engine"}
    return build_config(
        {**overlay(rules, given), "engine": overlay(engine, own)}, f"settings of {what}"
    )


def _modes(model: LocalModel, engine: Engine, config: RunConfig) -> dict[str, str]:
    """Return the prompting of another model, by stage."""
    if config.model.prompting == "auto" and model.prompting is not None:
        return dict(model.prompting)
    return dict.fromkeys(map(str, LOOP_STAGES), mode_of(model, engine, config))
