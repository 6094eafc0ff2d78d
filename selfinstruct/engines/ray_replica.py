"""What runs on a machine of a Ray cluster: the engine `vllm`, and its model's identity checked."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import ConfigError, why
from selfinstruct.common.records import Completion, LocalModel, Request
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.machine import detect_machine, require_vllm
from selfinstruct.engines.vllm import VllmEngine
from selfinstruct.models.resolve import digest_of, resolve_model


class Replica:
    """An engine, whose methods Ray calls from several threads: one waits in `collect`.

    Args:
        model: as the run has it; here it may lie in another folder.
        config: of the model.
        engine: that of the engine `vllm`.
        cores: that Ray keeps for it on a CPU; 0 on a GPU.
    """

    def __init__(
        self, model: LocalModel, config: ModelConfig, engine: EngineConfig, cores: int
    ) -> None:
        self._model, self._config, self._engine = model, config, engine
        self._cores = cores
        self._running: VllmEngine | None = None

    def start(self, context_length: int) -> dict[str, Any]:
        """Load the model; return the settings detected here, and the machine's name.

        Raises:
            ConfigError: vLLM or the model is missing here, or it is another model.
            EngineError: the model cannot be loaded.
        """
        require_vllm()
        if self._cores:
            self._share_machine()
        engine = VllmEngine(self._found_model(), self._config, self._engine)
        engine.start(context_length)
        self._running = engine
        return {**engine.settings(), "node": socket.gethostname()}

    def submit(self, requests: Sequence[Request]) -> None:
        self._engine_here().submit(requests)

    def collect(self) -> list[Completion]:
        return self._engine_here().collect()

    def abort(self, ids: Sequence[str]) -> None:
        self._engine_here().abort(ids)

    def _engine_here(self) -> VllmEngine:
        assert self._running is not None, "start comes first"
        return self._running

    def _share_machine(self) -> None:
        """Take a share of this machine's memory, and no cores that others are bound to."""
        machine = detect_machine()
        share = self._cores / (os.cpu_count() or self._cores)
        gigabytes = max(1, round(machine.kv_cache_gb * min(1.0, share)))
        # Ray gives the process as many threads as cores.
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        if self._engine.kv_cache_gb is None:
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", str(gigabytes))

    def _found_model(self) -> LocalModel:
        """Return the model as it lies on this machine.

        Raises:
            ConfigError: it is not here, or is another one.
        """
        path = Path(self._model.path)
        if path.is_dir() and digest_of(path) == self._model.digest:
            return self._model
        where = socket.gethostname()
        try:
            here = resolve_model(self._model.name, lambda *_: None)
        except ConfigError as error:
            raise ConfigError(f"on {where}: {why(error)}") from error
        if here.digest != self._model.digest:
            raise ConfigError(
                f"model {self._model.name!r}: is another one on {where} ({here.path}: "
                f"{here.digest}, not {self._model.digest}); copy the folder there"
            )
        return replace(self._model, path=here.path)
