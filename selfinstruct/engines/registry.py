"""The list of engines; the config chooses one by its name.

To add an engine, add a file here, its options in `config/engine_options.py`, and one record in
`ENGINES` (docs/engine.md).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from selfinstruct.common.errors import ConfigError
from selfinstruct.common.installing import extra_line, install_line
from selfinstruct.common.records import LocalModel
from selfinstruct.config import engine_options
from selfinstruct.config.engine_options import EngineOptions
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.base import ALL, Capabilities, Engine
from selfinstruct.engines.machine import require_vllm
from selfinstruct.models.endpoint import is_endpoint

EngineFactory = Callable[[LocalModel, ModelConfig, EngineConfig], Engine]
"""Builds an engine without loading its model."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One engine. It is pickled, so its functions must be those of a module.

    options: its name, and its keys in the config.
    require: raises ConfigError if its packages are missing, without importing them.
    build: builds the engine without loading a model; heavy imports are inside.
    capabilities: what it can do; None if only the built engine knows.
    """

    options: EngineOptions
    require: Callable[[], None]
    build: EngineFactory
    capabilities: Capabilities | None = None

    @property
    def name(self) -> str:
        return self.options.name


def _vllm(model: LocalModel, config: ModelConfig, engine: EngineConfig) -> Engine:
    from selfinstruct.engines.vllm import VllmEngine

    return VllmEngine(model, config, engine)


def _http(model: LocalModel, config: ModelConfig, engine: EngineConfig) -> Engine:
    from selfinstruct.engines.http import HttpEngine

    return HttpEngine(model, config, engine)


def _ray(model: LocalModel, config: ModelConfig, engine: EngineConfig) -> Engine:
    from selfinstruct.engines.ray import RayEngine

    return RayEngine(model, config, engine)


def _require_ray() -> None:
    require_vllm()
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(f"the package `ray` is missing; install it with: {extra_line('ray')}")


def _require_openai() -> None:
    if importlib.util.find_spec("openai") is None:
        raise ConfigError(
            f"the package `openai` is missing; install it with: {install_line('openai')}"
        )


ENGINES: list[EngineKind] = [
    EngineKind(engine_options.VLLM, require=require_vllm, build=_vllm, capabilities=ALL),
    EngineKind(engine_options.OPENAI, require=_require_openai, build=_http),
    EngineKind(engine_options.RAY, require=_require_ray, build=_ray, capabilities=ALL),
]


def engine_kind(name: str) -> EngineKind:
    """Return the engine of a name.

    Raises:
        ConfigError: no engine has this name.
    """
    for kind in ENGINES:
        if kind.name == name:
            return kind
    raise ConfigError(engine_options.no_engine(name, [kind.name for kind in ENGINES]))


def required_engine(name: str | None, *models: str) -> EngineKind:
    """Return the engine of a name, or the one that suits; no package of it is missing.

    To be called before a model is downloaded for it.

    Args:
        name: the engine that the user gives; None chooses.
        models: names of all that are asked. If servers serve them all, the engine is `openai`.

    Raises:
        ConfigError: there is none of that name, or it lacks packages.
    """
    served = bool(models) and all(is_endpoint(model) for model in models)
    suits = engine_options.OPENAI.name if served else engine_options.DEFAULT_ENGINE
    if served and name not in (None, suits):
        raise ConfigError(f"--engine {name}: {models[0]} is run by a server; leave --engine out")
    kind = engine_kind(suits if name is None else name)
    kind.require()
    return kind


def build_engine(model: LocalModel, config: ModelConfig, engine: EngineConfig) -> Engine:
    """Build the engine that the config names, without loading its model.

    Raises:
        ConfigError: its packages are missing, or it cannot run the model.
    """
    kind = engine_kind(engine.name)
    kind.require()
    return kind.build(model, config, engine)
