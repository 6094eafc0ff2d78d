"""Replicas of a model on a Ray cluster: vLLM servers that are started, watched and asked over HTTP.

Ray places one actor for each replica, and the actor holds a vLLM server on its node
(`replica.py`). Requests go over HTTP (`http.py`), which spreads them, leaves dead servers out and
asks again what they had not answered. A server that dies is started again by its actor, an actor
that dies by Ray, here or on another node; its new address takes the place of the old one. Why not
Ray Serve or Ray Data: docs/scale.md.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfinstruct.common.errors import EngineError, why
from selfinstruct.common.records import Completion, Endpoint, LocalModel, Prompt, Request
from selfinstruct.config.schema import EngineConfig, ModelConfig
from selfinstruct.engines.base import ALL, EngineUsage
from selfinstruct.engines.http import HttpEngine
from selfinstruct.engines.replica import SERVED, Replica
from selfinstruct.engines.vllm import VllmEngine

log = logging.getLogger(__name__)

_WATCH_SECONDS = 2.0
_REPLY_SECONDS = 30.0  # an actor that takes longer is asked again later
_MOST_STARTS = 5  # of a server that has never been ready


class RayEngine:
    """The engine that starts replicas on Ray. Cheap to build; `start` starts them.

    Raises:
        ConfigError: the model folder has no usable tokenizer.
    """

    capabilities = ALL

    def __init__(self, model: LocalModel, config: ModelConfig, engine: EngineConfig) -> None:
        self._model, self._config, self._engine = model, config, engine
        self._local = VllmEngine(model, config, engine)  # its tokenizer; it loads no weights
        self._limit = self._local.context_length
        self._actors: list[Any] = []
        self._urls: dict[int, str] = {}
        self._starts: dict[int, int] = {}
        self._http: HttpEngine | None = None
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._connected = False

    @property
    def context_length(self) -> int:
        return self._limit

    @property
    def has_chat_template(self) -> bool:
        return self._local.has_chat_template

    def encode(self, text: str) -> list[int]:
        return self._local.encode(text)

    def render(self, prompt: Prompt) -> str:
        return self._local.render(prompt)

    def start(self, context_length: int) -> None:
        import ray

        self._limit = min(context_length, self._limit)
        address = None if self._engine.address == "local" else self._engine.address
        try:
            if not ray.is_initialized():
                ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
                self._connected = True
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise EngineError(
                f"no Ray cluster at {self._engine.address!r} ({why(error)}); start one with "
                "`ray start --head`, or give --address local for one on this machine alone"
            ) from error
        self._place_actors(ray)
        self._wait_for_first()
        endpoint = Endpoint(tuple(self._urls.values()), SERVED, "vllm")
        served = LocalModel(
            self._model.name, Path(), self._model.digest, self._model.config, None, endpoint
        )
        self._http = HttpEngine(served, self._config, self._engine)
        self._http.start(self._limit)
        self._watcher = threading.Thread(target=self._watch, name="ray-watch", daemon=True)
        self._watcher.start()

    def submit(self, requests: Sequence[Request]) -> None:
        self._asked().submit(requests)

    def collect(self) -> list[Completion]:
        return self._asked().collect()

    def abort(self, ids: Sequence[str]) -> None:
        self._asked().abort(ids)

    def settings(self) -> Mapping[str, Any]:
        return {
            "device": "ray",
            "replicas": self._engine.replicas,
            "dtype": self._local.dtype,
            "context_length": self._limit,
        }

    def usage(self) -> EngineUsage:
        return self._asked().usage()

    def close(self) -> None:
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join(timeout=_REPLY_SECONDS)
        if self._http is not None:
            self._http.close()
        if not self._actors:
            return
        import ray

        for actor in self._actors:
            try:
                ray.get(actor.stop.remote(), timeout=_REPLY_SECONDS)
            except ray.exceptions.RayError as error:
                log.debug("a replica could not be stopped: %s", why(error))
            ray.kill(actor)
        self._actors.clear()
        if self._connected:
            ray.shutdown()

    def _asked(self) -> HttpEngine:
        assert self._http is not None, "start the engine first"
        return self._http

    def _place_actors(self, ray: Any) -> None:
        gpus = self._engine.gpus_per_replica
        arguments = {**self._local.arguments(self._limit), "disable_uvicorn_access_log": True}
        if gpus > 1:
            arguments.setdefault("tensor_parallel_size", gpus)
        environment = self._local.environment()
        environment.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)

        class Actor(Replica):
            def __init__(self) -> None:
                super().__init__(arguments, environment, ray.util.get_node_ip_address())

        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=-1, max_task_retries=0)(Actor)
        self._actors = [remote.remote() for _ in range(self._engine.replicas)]

    def _wait_for_first(self) -> None:
        """Wait until one replica is ready; the others join when they are.

        Raises:
            EngineError: a server ends each time before it is ready, or Ray has no place for any.
        """
        told = time.monotonic()
        while not self._urls:
            self._look()
            if not self._starts and time.monotonic() - told > _REPLY_SECONDS:
                told = time.monotonic()
                log.warning(
                    "Ray has no place yet for any of %d replicas, each with 1 CPU and %g GPUs",
                    self._engine.replicas,
                    self._engine.gpus_per_replica,
                )
            time.sleep(_WATCH_SECONDS)

    def _watch(self) -> None:
        while not self._ended.wait(_WATCH_SECONDS):
            try:
                self._look()
            except EngineError as error:
                log.warning("%s", error)

    def _look(self) -> None:
        """Ask every replica for its address; tell the HTTP engine of changes."""
        import ray

        asked = {number: actor.state.remote() for number, actor in enumerate(self._actors)}
        before = dict(self._urls)
        for number, reply in asked.items():
            try:
                url, starts, ended = ray.get(reply, timeout=_REPLY_SECONDS)
            except ray.exceptions.GetTimeoutError:
                continue
            except ray.exceptions.RayError as error:
                # Ray starts the actor again. Its server died with it.
                if self._urls.pop(number, None):
                    log.warning("replica %d died (%s); Ray starts it again", number, _first(error))
                continue
            self._starts[number] = starts
            if ended:
                self._urls.pop(number, None)
                if starts > _MOST_STARTS and not before:
                    raise EngineError(f"the vLLM server of a replica cannot start: {ended}")
                log.warning("the server of replica %d died (%s); started again", number, ended)
            elif url:
                self._urls[number] = url
        if self._http is not None and self._urls != before:
            self._http.set_urls(list(self._urls.values()))


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
