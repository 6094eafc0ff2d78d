"""Try how a model is prompted best, without a run (`selfinstruct models probe`)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfinstruct.common.progress import (
    EngineLoading,
    EngineReady,
    Listener,
    ModelPreparing,
    Probed,
    Probing,
)
from selfinstruct.config.engine_options import ENGINE_OPTIONS
from selfinstruct.dataset.read import read_any
from selfinstruct.engines.received import closing
from selfinstruct.engines.registry import EngineFactory
from selfinstruct.generate.launch import scores_depend_on
from selfinstruct.generate.probe import Trial, probe
from selfinstruct.generate.run_config import resolve_config, with_round_size
from selfinstruct.inputs.run_inputs import read_inputs
from selfinstruct.models import resolve_model


@dataclass(frozen=True)
class ModelProbe:
    """Result of a probe without a run.

    probed: what was tried; None for a model without a chat template, which gets raw text.
    measured: the modes that the catalogue brings for the model, which `auto` keeps.
    """

    probed: Probed | None
    measured: Mapping[str, str] | None


def probe_model(
    values: Mapping[str, Any], *, make_engine: EngineFactory, listen: Listener
) -> ModelProbe:
    """Try every stage in every mode that the model can do.

    Args:
        values: configuration values, as for a run.
        make_engine: builds the engine without loading its model.
        listen: called with every event.

    Raises:
        ConfigError: bad input.
        EngineError: the engine failed.
    """
    config = resolve_config(values, None, "models probe")
    inputs = read_inputs(config, values, None, read_any)
    model = resolve_model(
        config.model.name, lambda *step: listen(ModelPreparing(*step)), config.engine.base_url
    )
    engine = make_engine(model, config.model, config.engine)
    if not engine.has_chat_template:
        return ModelProbe(None, model.prompting)
    config = with_round_size(config, engine.at_once)
    trial = Trial(config, inputs, engine)
    context_length = config.engine.context_length or trial.context()
    with closing(engine):
        started = time.perf_counter()
        listen(EngineLoading(model.name, ENGINE_OPTIONS[config.engine.name].title))
        engine.start(context_length)
        listen(EngineReady(engine.settings(), time.perf_counter() - started))
        probed = probe(
            trial,
            scores_depend_on(config, model),
            lambda returned, requests: listen(Probing(returned, requests)),
        )
    return ModelProbe(probed, model.prompting)
