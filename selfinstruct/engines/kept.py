"""An engine that stays loaded for stages that follow one another in one process.

vLLM in this process leaves threads and distributed state behind, so a second one cannot be started
after it; and to load a large model twice takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from selfinstruct.common.records import LocalModel
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.base import Engine
from selfinstruct.engines.received import closing
from selfinstruct.engines.registry import EngineFactory


class _Kept:
    """The engine behind it, which is started once; `close` leaves it running."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._started = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def start(self, context_length: int) -> None:
        if not self._started:
            self.engine.start(context_length)
            self._started = True

    def close(self) -> None:
        """Leave it to the stage that comes next."""


@contextmanager
def kept(build: EngineFactory) -> Iterator[EngineFactory]:
    """Yield a factory whose engine is built and started once; close the engine at the end.

    All stages must want the same model, with the settings of the first.
    """
    built: list[_Kept] = []

    def make(model: LocalModel, config: ModelConfig, engine: EngineConfig) -> Engine:
        if not built:
            built.append(_Kept(build(model, config, engine)))
        return cast("Engine", built[0])

    try:
        yield make
    finally:
        for one in built:
            with closing(one.engine):
                pass
