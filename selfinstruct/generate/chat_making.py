"""How the self-chats of one call are made: model, prompting, prompts, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from selfinstruct.config.converse import ConverseConfig, build_converse_config
from selfinstruct.config.schema import RunConfig
from selfinstruct.engines.base import Engine
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.generate.chat_requests import ChatRequests
from selfinstruct.generate.writer import refuse_other_keys, writer_of
from selfinstruct.inputs.run_inputs import stored_config, stored_inputs
from selfinstruct.models import Progress
from selfinstruct.prompts.chats import load_chat_prompts
from selfinstruct.store import Run
from selfinstruct.verdicts.chat_turns import ChatSettings
from selfinstruct.verdicts.rulebook import Rulebook

_WHAT = "self-chats"


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
    refuse_other_keys(values, "converse", _WHAT)
    converse = build_converse_config(values.get("converse", {}))
    others = {key: value for key, value in values.items() if key != "converse"}
    prompts, inputs = load_chat_prompts(stored_config(run).language), stored_inputs(run)
    writer = writer_of(run, others, make_engine, progress, _WHAT)
    config, engine = writer.config, writer.engine
    requests = ChatRequests(config, converse, prompts, engine, writer.modes)
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
        "model": writer.recorded,
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
