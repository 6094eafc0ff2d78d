"""The command line on an engine that answers slowly, and is within a step of a minute all along.

The answers are scripted. The step is that of a stand-in for vLLM's engine, in the thread of the
real driver: as where a model is large, or other work keeps the cores busy.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from selfinstruct.cli import main
from selfinstruct.common.records import Request
from selfinstruct.engines import scripted
from selfinstruct.engines.registry import ENGINES
from selfinstruct.engines.vllm_drivers import InProcessDriver
from tests.conftest import varied_script


class LongStep:
    """Stands for vLLM's LLMEngine."""

    @classmethod
    def from_engine_args(cls, _arguments: dict[str, Any]) -> LongStep:
        return cls()

    def has_unfinished_requests(self) -> bool:
        return True

    def abort_request(self, names: list[str]) -> None:
        """Nothing to drop."""

    def step(self) -> list[Any]:
        time.sleep(60)
        return []


class StuckEngine(scripted.ScriptedEngine):
    def start(self, context_length: int) -> None:
        super().start(context_length)
        self.driver = InProcessDriver()
        self.driver.start({})

    def close(self) -> None:
        self.driver.close()


def slowly(request: Request) -> str | tuple[str, str]:
    time.sleep(0.05)
    return varied_script(request)


def build(*_: Any) -> StuckEngine:
    return StuckEngine(slowly, batch=1)


if __name__ == "__main__":
    # Shells start background jobs, and so perhaps these tests, with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.modules["vllm"] = SimpleNamespace(EngineArgs=dict)  # type: ignore[assignment]
    module = SimpleNamespace(LLMEngine=LongStep)
    sys.modules["vllm.v1.engine.llm_engine"] = module  # type: ignore[assignment]
    ENGINES[:] = [replace(kind, require=lambda: None, build=build) for kind in ENGINES]
    main()
