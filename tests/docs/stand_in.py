"""A scripted model for the pages of the docs: its tasks, instances and answers differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from selfinstruct.common.records import LocalModel, Request, Stage
from selfinstruct.config import engine_options
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines import registry
from selfinstruct.engines.base import Engine
from selfinstruct.engines.registry import EngineKind
from selfinstruct.engines.scripted import ALL, ScriptedEngine
from tests.conftest import draw, varied_script
from tests.engines.kinds import OPTIONS as BARE
from tests.engines.kinds import needs_nothing

# A page's config for vLLM holds for it, too.
OPTIONS = replace(BARE, keys=engine_options.VLLM.keys, speed=engine_options.VLLM.speed)


def script(request: Request) -> str | tuple[str, str]:
    """Answer as `varied_script`; a contestant, policy or teacher with answers that differ."""
    if request.stage in (Stage.PROPOSE, Stage.CLASSIFY, Stage.INSTANCES):
        return varied_script(request)
    return f"An answer {'very ' * draw(request, 'length', 5)}{draw(request, 'which', 90)}."


def build(model: LocalModel, config: ModelConfig, engine: EngineConfig) -> Engine:
    """The engine `scripted`; the prompts of a real model may be longer than its own limit."""
    return ScriptedEngine(script)


SCRIPTED = EngineKind(OPTIONS, require=needs_nothing, build=build, capabilities=ALL)


def refuse(*_: Any) -> Engine:
    """A page must not load a model in these tests."""
    raise AssertionError("vllm was not asked for")


def with_engine(loaded: Any, work: Any, advance: Any, *, kind: EngineKind) -> Any:
    """Run work with the script in this process: no model has to be freed afterwards."""
    assert kind.name == "scripted"
    return work(ScriptedEngine(script), advance=advance)


def add_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the engine `scripted`; `openai` stays as it is, and `vllm` must not be built."""
    monkeypatch.setattr("selfinstruct.engines.isolated.with_engine", with_engine)
    vllm = replace(registry.engine_kind("vllm"), build=refuse)
    servers = registry.engine_kind("openai")
    monkeypatch.setattr(registry, "ENGINES", [vllm, servers, SCRIPTED])
    monkeypatch.setitem(engine_options.ENGINE_OPTIONS, "scripted", OPTIONS)
