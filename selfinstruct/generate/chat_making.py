"""How the self-chats of one call are made: model, prompting, prompts, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.records import LOOP_STAGES, LocalModel
from selfinstruct.config.converse import ConverseConfig, build_converse_config
from selfinstruct.config.schema import RunConfig
from selfinstruct.config.values import build_config, overlay
from selfinstruct.engines.base import Engine
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.generate.chat_requests import ChatRequests
from selfinstruct.generate.complete import own_model
from selfinstruct.generate.teacher import mode_of, teacher_config
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.models import Progress, resolve_model
from selfinstruct.prompts.chats import load_chat_prompts
from selfinstruct.store import Run
from selfinstruct.verdicts.chat_turns import ChatSettings
from selfinstruct.verdicts.rulebook import Rulebook


@dataclass(frozen=True)
class Making:
    """What the self-chats of a call are made by.

    rulebook: the run's rules; model and sampling of replies are those of the model that writes.
    info: the part of a commit's JSON that says it: `model`, `settings` and `prompts`.
    engine: not started.
    """

    run: Run
    rulebook: Rulebook
    settings: ChatSettings
    requests: ChatRequests
    engine: Engine
    info: Mapping[str, Any]

    @property
    def context(self) -> int | None:
        """The context length that the user wants, in tokens."""
        return self.rulebook.config.engine.context_length


def make(
    run: Run, values: Mapping[str, Any], make_engine: EngineFactory, progress: Progress
) -> Making:
    """Return how self-chats are made with these values, arguments as `converse` has them.

    Raises:
        ConfigError: bad values, or a model that is not the run's own.
    """
    _refuse_other_keys(values)
    converse = build_converse_config(values.get("converse", {}))
    others = {key: value for key, value in values.items() if key != "converse"}
    is_own = "name" not in others.get("model", {})
    if is_own and not run.has_model:
        raise ConfigError(
            f"{run.path}: begins with imported tasks, so it has no model of its own; name the one "
            "that converses with --model"
        )
    config = _own_config(run, others) if is_own else teacher_config(run, others)
    prompts, inputs = load_chat_prompts(config.language), stored_inputs(run)
    if is_own:
        model = own_model(run, config, progress)
    else:
        model = resolve_model(config.model.name, progress, config.engine.base_url)
    engine = make_engine(model, config.model, config.engine)
    modes = dict(run.meta["model"]["prompting"]) if is_own else _modes(model, engine, config)
    requests = ChatRequests(config, converse, prompts, engine, modes)
    settings = ChatSettings(
        turns=converse.turns,
        max_shared=converse.max_shared,
        speakers=dict(prompts.speakers),
        ends=list(prompts.ends),
        polite=list(prompts.polite),
        answers=list(prompts.answers),
        subjects=list(prompts.subjects),
        shown=list(prompts.shown),
    )
    info = {
        "model": {"name": model.name, "digest": model.digest, "prompting": modes},
        "settings": _recorded(settings, converse, config, requests),
        "prompts": dict(prompts.files),
    }
    return Making(run, Rulebook(config, inputs.prompts), settings, requests, engine, info)


def _recorded(
    settings: ChatSettings, converse: ConverseConfig, config: RunConfig, requests: ChatRequests
) -> dict[str, Any]:
    """Return the settings as JSON has them."""
    return {
        **asdict(settings),
        "user_sampling": converse.user_sampling.model_dump(mode="json"),
        "reply_sampling": config.instances.sampling.model_dump(mode="json"),
        "system": requests.system,
        "thinking": config.model.thinking,
    }


def _refuse_other_keys(values: Mapping[str, Any]) -> None:
    """Raise ConfigError for a setting that would be ignored."""
    other = sorted(set(values) - {"converse", "model", "engine", "instances"})
    other += [f"instances.{key}" for key in values.get("instances", {}) if key != "sampling"]
    if other:
        raise ConfigError(
            f"{', '.join(other)}: not a setting of self-chats; give keys of converse, model, "
            "engine or instances.sampling (the rules are those of the run)"
        )
    model = values.get("model", {})
    if model and "name" not in model:
        keys = ", ".join(f"model.{key}" for key in model)
        raise ConfigError(
            f"{keys}: the run's own model writes as it wrote the run; name a model with --model to "
            "change how"
        )


def _own_config(run: Run, values: Mapping[str, Any]) -> RunConfig:
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
        {**overlay(rules, given), "engine": overlay(engine, own)}, "settings of self-chats"
    )


def _modes(model: LocalModel, engine: Engine, config: RunConfig) -> dict[str, str]:
    """Return the prompting of another model, by stage."""
    if config.model.prompting == "auto" and model.prompting is not None:
        return dict(model.prompting)
    return dict.fromkeys(map(str, LOOP_STAGES), mode_of(model, engine, config))
