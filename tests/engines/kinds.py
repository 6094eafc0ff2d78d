"""Engines for the list of engines, so that commands run without vLLM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfinstruct.common.records import LocalModel, Request, Stage
from selfinstruct.config import engine_options
from selfinstruct.config.engine_options import EngineOptions
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines import registry
from selfinstruct.engines.base import Engine
from selfinstruct.engines.registry import EngineKind
from selfinstruct.engines.scripted import ALL, ScriptedEngine
from tests.conftest import varied_script

OPTIONS = EngineOptions(
    name="scripted",
    title="script",
    help="answers of a script",
    keys=frozenset({"options"}),
    reserved={"model": "model.name"},
    speed=frozenset({"batch"}),
)


def script(request: Request) -> str | tuple[str, str]:
    """Answer as `varied_script`; what a teacher or a contestant is asked, with known words."""
    return "Said by the script." if request.stage is Stage.ANSWER else varied_script(request)


def needs_nothing() -> None:
    """Nothing is missing."""


def build(model: LocalModel, config: ModelConfig, engine: EngineConfig) -> Engine:
    assert engine.name == "scripted"
    return ScriptedEngine(script, batch=engine.options.get("batch", 7))


SCRIPTED = EngineKind(OPTIONS, require=needs_nothing, build=build, capabilities=ALL)


def add_scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the engine `scripted`; `vllm` stays, and must not be built."""

    def refuse(*_: Any) -> Engine:
        raise AssertionError("vllm was not asked for")

    vllm = replace(registry.engine_kind("vllm"), build=refuse)
    monkeypatch.setattr(registry, "ENGINES", [vllm, SCRIPTED])
    monkeypatch.setitem(engine_options.ENGINE_OPTIONS, "scripted", OPTIONS)


def stand_in_for_vllm(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., Engine] = ScriptedEngine
) -> None:
    """Have the engine `vllm` need no packages, and be what `make` returns."""
    kind = replace(registry.engine_kind("vllm"), require=needs_nothing, build=lambda *_: make())
    monkeypatch.setattr(registry, "ENGINES", [kind])
